"""Reads a function's imports from one file, the pack, which ``lambda-runtime pack`` writes.

``load`` finds and checks packs, ``finder`` serves modules from them, ``aids`` keeps the results of
pure functions that init calls. The runtime loads these only if there is a pack on ``sys.path``.
"""

FOLDER = "lambda-pack"
"""The folder in an entry of ``sys.path`` that holds its packs, one for each Python."""
