"""Lets the core in C (``core/core.c``) write the lines of standard output and standard error.

It does so from the second invocation on, for the process's own streams. They stay the objects that
they are: the core's ``write`` and ``flush`` become attributes of the stream, so that ``print``,
``logging``, ``io`` and user code find them before the stream's own. The output is the same, at the
same time.
"""

import io

from lambda_runtime import logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TextIO

    class Output(Protocol):
        """The core's part of a stream. What its methods do, ``core/core.c`` says."""

        aside: bool

        def write(self, text: str, /) -> int: ...
        def flush(self) -> None: ...


def adopt(library: "Any") -> None:
    """Let the core write the lines of each of the process's own streams that it knows how to."""
    for stream in (logs.stdout, logs.stderr):
        if stream is not None and _is_usual(stream):
            _adopt(stream, library.Output)


def _is_usual(stream: "TextIO") -> bool:
    """Whether the stream is as the interpreter and ``logs`` have made it."""
    return (
        type(stream) is io.TextIOWrapper
        and type(stream.buffer) is io.BufferedWriter
        and stream.encoding.lower() == "utf-8"
        and stream.line_buffering
        and not stream.write_through
        and stream not in logs.reconfigured
        and not {"write", "flush"} & vars(stream).keys()
        and not vars(stream.buffer)
    )


def _adopt(stream: "Any", kind: "Any") -> None:
    buffer = stream.buffer
    output: Output = kind(stream.fileno(), stream.write, stream.flush, buffer.write, buffer.flush)
    stream.reconfigure(write_through=True)  # the core looks for text in the buffer only
    stream.close = _ending(output, stream.close)
    stream.detach = _ending(output, stream.detach)
    stream.reconfigure = _ending(output, stream.reconfigure, write_through=False)
    # From now on: what the one keeps, the other has to know.
    stream.flush = output.flush
    stream.write = output.write


def _ending(output: "Output", own: "Callable[..., Any]", **options: bool) -> "Callable[..., Any]":
    """The stream's own method, after which the core leaves everything to the stream.

    ``options`` make the stream what it was before.
    """

    def method(*arguments: object, **given: object) -> "Any":
        if not output.aside:
            output.aside = True
            given = {**options, **given}
        return own(*arguments, **given)

    return method
