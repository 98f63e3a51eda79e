"""Stacks of frames as text, without an import: ``traceback`` needs two dozen modules and files.

The text is that of ``traceback.format_list``, without source lines that cannot be read.
"""

import posix
import sys

from lambda_runtime.ground import trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType, FrameType, TracebackType

    Place = tuple[CodeType, int, dict[str, object]]

Frame = tuple[str, int, str, str | None]
"""File name, line number, function and source line."""

_REPEATED = 3
_LARGEST_SOURCE = 16 * 1024 * 1024
_REGULAR_FILE = 0o100000


def of_traceback(trace: "TracebackType | None") -> list[Frame]:
    """The frames of a traceback, the outermost first, at most ``sys.tracebacklimit`` of them."""
    return _frames(_walk(trace), getattr(sys, "tracebacklimit", None))


def of_stack(frame: "FrameType | None") -> list[Frame]:
    """The frames from the outermost caller to this one."""
    found: list[Place] = []
    while frame is not None:
        found.append((frame.f_code, frame.f_lineno or 0, frame.f_globals))
        frame = frame.f_back
    return _frames(found[::-1], None)


def of_frames(given: "Iterable[FrameType]") -> list[Frame]:
    """These frames, in the order given."""
    return _frames([(each.f_code, each.f_lineno or 0, each.f_globals) for each in given], None)


def of_the_user(frames: list[Frame]) -> list[Frame]:
    """The frames from the user's first one on."""
    for index, frame in enumerate(frames):
        if not frame[0].startswith((trusted.FOLDER, "<frozen importlib")):
            return frames[index:]
    return []


def lines(frames: list[Frame]) -> list[str]:
    """Each frame's text; a repeated frame appears three times, then as a count."""
    told: list[str] = []
    last: object = None
    count = 0
    for file, number, function, line in frames:
        if (file, number, function) != last:
            told += _repetitions(count)
            last, count = (file, number, function), 0
        count += 1
        if count <= _REPEATED:
            text = f'  File "{file}", line {number}, in {function}\n'
            told.append(f"{text}    {line}\n" if line else text)
    return told + _repetitions(count)


def _repetitions(count: int) -> list[str]:
    more = count - _REPEATED
    if more <= 0:
        return []
    return [f"  [Previous line repeated {more} more time{'s' if more > 1 else ''}]\n"]


def _walk(trace: "TracebackType | None") -> "Iterator[Place]":
    while trace is not None:
        frame = trace.tb_frame
        yield frame.f_code, trace.tb_lineno or 0, frame.f_globals
        trace = trace.tb_next


def _frames(places: "Iterable[Place]", limit: object) -> list[Frame]:
    sources = _Sources()
    frames: list[Frame] = []
    for code, number, names in places:
        if type(limit) is int and len(frames) >= limit:
            break
        file = str.__str__(code.co_filename)
        frames.append((file, number, str.__str__(code.co_name), sources.line(file, number, names)))
    return frames


class _Sources:
    """The source lines of files, each of which is read once."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def line(self, file: str, number: int, names: dict[str, object]) -> str | None:
        lines = self._lines.get(file)
        if lines is None:
            try:
                lines = _source_lines(file, names)
            except BaseException:
                lines = []  # a user's loader may raise anything
            self._lines[file] = lines
        return lines[number - 1].strip() if 0 < number <= len(lines) else None


def _source_lines(file: str, names: dict[str, object]) -> list[str]:
    if file.startswith("<"):
        return _generated_lines(file)
    source = _read(file)
    return _lines_of_loader(names) if source is None else _split(_decode(source))


def _read(file: str) -> bytes | None:
    try:
        descriptor = posix.open(file, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    try:
        status = posix.fstat(descriptor)
        if status.st_mode & 0o170000 != _REGULAR_FILE or status.st_size > _LARGEST_SOURCE:
            return None
        parts = []
        while part := posix.read(descriptor, _LARGEST_SOURCE):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(descriptor)


def _decode(source: bytes) -> str:
    """The text in the encoding that one of the first two lines names (PEP 263), else UTF-8."""
    source = source.removeprefix(b"\xef\xbb\xbf")
    for line in source.split(b"\n", 2)[:2]:
        comment, _, named = line.partition(b"coding")
        if comment.lstrip().startswith(b"#") and named[:1] in (b":", b"="):
            name = named[1:].decode("ascii", "replace").split()
            try:
                return source.decode(name[0], "replace")
            except (LookupError, IndexError, ImportError):
                break
    return source.decode("utf-8", "replace")


def _split(text: str) -> list[str]:
    # Not splitlines(): it splits at more characters than Python's grammar does.
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _generated_lines(file: str) -> list[str]:
    """The lines of generated code, if its maker has put them into ``linecache``."""
    cache = getattr(sys.modules.get("linecache"), "cache", None)
    entry = cache.get(file) if type(cache) is dict else None
    return list(map(str, entry[2])) if type(entry) is tuple and len(entry) == 4 else []


def _lines_of_loader(names: dict[str, object]) -> list[str]:
    """The lines from the module's loader, which may read an archive."""
    loader = names.get("__loader__")
    get_source = getattr(loader, "get_source", None)
    source = None if get_source is None else get_source(names.get("__name__"))
    return _split(source) if type(source) is str else []
