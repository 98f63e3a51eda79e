"""Prepares the process for the handler's import: bundle, path, import hooks, AWS's names."""
