"""A second module in a stack trace."""


def first() -> None:
    second()


def second() -> None:
    raise LookupError("raised elsewhere")
