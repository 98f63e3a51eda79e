"""The errors that end a command; their messages say what happened and what to do."""


class UsageError(Exception):
    """The user asked for something impossible: exit status 2."""


class RunError(Exception):
    """The function, or something that it needs, has failed: exit status 1."""
