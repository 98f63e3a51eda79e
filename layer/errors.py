"""The errors of this package."""


class LayerError(Exception):
    """What went wrong and what to do about it, in one line for the user."""


class UnusableInput(LayerError):
    """The input cannot be examined: no such file, not a zip, no such architecture."""
