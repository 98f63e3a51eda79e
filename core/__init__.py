"""The transport in C, and the program that compiles it: ``python -m core``."""
