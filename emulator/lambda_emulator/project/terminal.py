"""Formats log records for a terminal."""

from __future__ import annotations

from lambda_emulator.platform.logs import LogRecord

# The runtime's hint before an error of init: a terminal shows only the error itself.
_INIT_HINT = "LAMBDA_WARNING: Unhandled exception while the function was initialised"
_EMPTY_TRACE = "\nTraceback (most recent call last):"


def readable(record: LogRecord) -> str:
    """The record as lines; "" for a record that a terminal does not show.

    A record's line breaks are carriage returns, which would overwrite the line in a terminal.
    """
    if _INIT_HINT in record.text:
        return ""
    text = plain(record.text)
    prefix = "" if record.source in ("function", "platform") else f"[{record.source}] "
    return prefix + text.removesuffix(_EMPTY_TRACE)


def log_lines(log: bytes) -> str:
    """A whole log as lines."""
    lines = plain(log.decode(errors="replace")).split("\n")
    kept = "\n".join(line for line in lines if _INIT_HINT not in line)
    return kept.strip("\n").removesuffix(_EMPTY_TRACE)


def plain(text: str) -> str:
    """Text with a log's carriage returns as line feeds, and its fixed spaces as spaces."""
    return text.replace("\r\n", "\n").rstrip("\r").replace("\r", "\n").replace("\xa0", " ")
