"""Formats answers of functions for people."""

from __future__ import annotations

import json

from lambda_emulator.project.terminal import plain

_PRELUDE_END = b"\0" * 8


def show(payload: bytes) -> str:
    """Indent JSON, show a streamed HTTP answer as status, headers and body, keep other text."""
    head, found, body = payload.partition(_PRELUDE_END)
    if found and (lines := _head(head)) is not None:
        return "\n".join([*lines, "", body_text(body)])
    return body_text(payload)


def _head(encoded: bytes) -> list[str] | None:
    try:
        prelude = json.loads(encoded)
        headers = dict(prelude.get("headers") or {})
        cookies = list(prelude.get("cookies") or [])
    except (ValueError, AttributeError, TypeError):
        return None
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"set-cookie: {cookie}" for cookie in cookies]
    return [f"status {prelude.get('statusCode', 200)}", *lines]


def body_text(body: bytes) -> str:
    """Indent JSON, keep other text, and show the size of anything else."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return f"({len(body)} bytes that are not text)"


def show_error(payload: bytes) -> str:
    """A function's error: its type and message, then its trace."""
    try:
        document = json.loads(payload)
        first = f"{document['errorType']}: {document['errorMessage']}"
        trace = [str(line).rstrip("\n") for line in document.get("stackTrace") or ()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return body_text(payload)
    return plain("\n".join([first, *trace]))
