"""What the command cannot do."""


class PackError(Exception):
    """Told to the user as it is: what happened, where, what to do."""
