"""The one error of this package."""


class LayerError(Exception):
    """What went wrong and what to do about it, in one line for the user."""
