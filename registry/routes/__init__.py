"""The registry's calls over HTTP: each handler parses, calls and responds."""
