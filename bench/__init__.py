"""Measurements: how fast, how accurate. Each module runs with `python -m bench.NAME`."""
