"""This runtime measured beside its peers: `python -m benchmarks`; see docs/benchmarks.md."""
