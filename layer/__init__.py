"""Builds the Lambda layers: CPython 3.13 with the runtime, and the runtime alone for AWS's Python.

`python -m layer build` makes them. `python -m layer lock` renews the list of Debian packages that
they are made of. `python -m layer check` examines a zip before its upload to Lambda. See
`docs/layer.md`.
"""
