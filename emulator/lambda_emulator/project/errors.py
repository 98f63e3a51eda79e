"""What ends a command; the message says what happened and what to do."""


class UsageError(Exception):
    """Something was asked for that cannot be: exit status 2."""


class RunError(Exception):
    """The function, or what it needs, has failed: exit status 1."""
