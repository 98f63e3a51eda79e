"""The error of the command."""


class PackError(Exception):
    """The command prints its text unchanged: what happened, where, what to do."""
