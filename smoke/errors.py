"""What goes wrong in an account."""


class SmokeError(Exception):
    """What happened and what to do about it, in one line for the user."""
