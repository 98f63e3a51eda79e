"""Measures this runtime and its peers: ``python -m benchmarks``. See docs/benchmarks.md."""
