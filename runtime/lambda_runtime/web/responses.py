"""The answers that Lambda's HTTP front doors understand. Each front door has its own shape.

Sources: see ``events``.
"""

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Headers = Iterable[tuple[bytes, bytes]]
    Shape = Callable[[int, Headers, bytes], dict[str, Any]]

# Hop-by-hop headers: the front door sets its own.
_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"))

_TEXT_TYPES = frozenset(
    (
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/toml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
    )
)
_TEXT_SUFFIXES = ("+json", "+xml", "+yaml")


def payload_2(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For HTTP APIs and function URLs: one value for each header, and a list of cookies."""
    fields, cookies = single_values(headers)
    answer: dict[str, Any] = {"statusCode": status, "headers": fields, **_body(body, fields)}
    if cookies:
        answer["cookies"] = cookies
    return answer


def multi_value(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For REST APIs, and HTTP APIs with payload format 1.0: a list of values for each header."""
    fields = _lists(headers)
    return {"statusCode": status, "multiValueHeaders": fields, **_body(body, _first(fields))}


def load_balancer_multi_value(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For load balancers' target groups with multi-value headers."""
    return {"statusDescription": _description(status), **multi_value(status, headers, body)}


def load_balancer_single_value(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For load balancers' target groups without multi-value headers.

    Each cookie has a different spelling of ``set-cookie``. The names are different keys of the
    mapping, but clients ignore upper and lower case.
    """
    return {"statusDescription": _description(status), **lattice(status, headers, body)}


def lattice(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For VPC Lattice. It also maps each name to one value."""
    fields, cookies = single_values(headers)
    answer = _body(body, fields)
    fields |= {_spelling("set-cookie", index): cookie for index, cookie in enumerate(cookies)}
    return {"statusCode": status, "headers": fields, **answer}


def websocket(status: int, headers: "Headers", body: bytes) -> "dict[str, Any]":
    """For WebSocket APIs. $connect uses the headers; all other routes use the body."""
    fields, cookies = single_values(headers)
    answer = {"statusCode": status, "headers": fields, **_body(body, fields)}
    if cookies:
        answer["multiValueHeaders"] = {"set-cookie": cookies}
    return answer


def single_values(headers: "Headers") -> tuple[dict[str, str], list[str]]:
    """Join repeated headers by a comma (RFC 9110, section 5.3), and collect the cookies.

    Cookies cannot be joined. Returns the headers and the list of cookies.
    """
    fields: dict[str, str] = {}
    cookies: list[str] = []
    for raw, value in headers:
        name = raw.lower()
        if name == b"set-cookie":
            cookies.append(value.decode("latin-1"))
        elif name not in _HOP_BY_HOP:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            fields[key] = f"{fields[key]}, {text}" if key in fields else text
    return fields, cookies


def _lists(headers: "Headers") -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for raw, value in headers:
        name = raw.lower()
        if name not in _HOP_BY_HOP:
            fields.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return fields


def _first(fields: dict[str, list[str]]) -> dict[str, str]:
    return {
        name: fields[name][0] for name in ("content-type", "content-encoding") if name in fields
    }


def _body(body: bytes, fields: dict[str, str]) -> "dict[str, Any]":
    """The body as text if it is text, else in base64."""
    if not body or _is_text(fields):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass  # text in another encoding: a string would change its bytes
    return {"body": binascii.b2a_base64(body, newline=False).decode(), "isBase64Encoded": True}


def _is_text(fields: dict[str, str]) -> bool:
    if fields.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        return False
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    return (
        kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(_TEXT_SUFFIXES) or not kind
    )


def _description(status: int) -> str:
    from http import HTTPStatus

    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _spelling(name: str, index: int) -> str:
    """The name in its ``index``-th mix of upper and lower case."""
    letters = []
    for char in name:
        if char.isalpha():
            letters.append(char.upper() if index & 1 else char)
            index >>= 1
        else:
            letters.append(char)
    return "".join(letters)
