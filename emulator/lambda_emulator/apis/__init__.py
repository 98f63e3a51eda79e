"""What clients may ask: Lambda's APIs for runtimes and extensions, and the two for callers."""
