"""The errors of this package."""


class LayerError(Exception):
    """What went wrong and what to do about it, in one line for the user."""


class UnusableInput(LayerError):
    """There is nothing to look at: no such file, no zip, no such architecture."""
