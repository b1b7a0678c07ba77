"""The benchmarks, one module each: `NAME`, `TITLE`, `run(bench) -> list[Sample]` and `targets(samples)`."""
