"""A function's imports out of one file: ``lambda-runtime pack`` writes it, the runtime reads it.

``load`` finds and checks packs, ``finder`` serves modules from them, ``aids`` keeps the results of
pure functions that init asks for. None of it is loaded unless a pack lies on ``sys.path``.
"""

FOLDER = "lambda-pack"
"""The folder in an entry of ``sys.path`` that holds its packs, one for each Python."""
