"""The errors that the runtime itself finds in a function, in its settings or in what it returns."""


class FaultException(Exception):
    """An error this runtime found, with the type that awslambdaric gives it."""

    def __init__(self, exception_type: str, msg: str, trace: list[str] | None = None) -> None:
        super().__init__(exception_type, msg, trace)
        self.exception_type = exception_type
        self.msg = msg
        self.trace = trace

    def __str__(self) -> str:
        return self.msg
