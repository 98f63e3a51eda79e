"""Lambda's APIs: those for runtimes and extensions, and the two for callers."""
