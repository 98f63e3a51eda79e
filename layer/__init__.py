"""Builds the Lambda layers: CPython 3.13 with the runtime, and the runtime alone for AWS's Python.

`python -m layer build` makes them, `python -m layer lock` renews the list of Debian packages they
are made of, `python -m layer check` looks at any zip that is to go to Lambda. See `docs/layer.md`.
"""
