"""Functions with the libraries of those that two papers on cold starts have measured."""
