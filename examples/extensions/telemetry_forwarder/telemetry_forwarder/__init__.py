"""Forwards a function's logs and metrics to a collector, beside the function."""
