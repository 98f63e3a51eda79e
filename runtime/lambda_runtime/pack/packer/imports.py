"""A function that only imports modules, for packs of layers: see ``--import``."""

import os


def handler(event: object, context: object) -> None:
    """Do nothing."""


for _name in os.environ.get("LAMBDA_RUNTIME_PACK_IMPORTS", "").split():
    __import__(_name)
