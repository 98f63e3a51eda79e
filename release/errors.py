"""What goes wrong with a release."""


class ReleaseError(Exception):
    """What happened and what to do about it, in one line for the user."""
