"""A function's project on this machine: its Python, its packages, its variables and its runtime."""
