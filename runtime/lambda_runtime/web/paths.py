"""Paths and query strings: what the front doors took apart or prefixed, put right again."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PATH_SAFE = "/%:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?[]|"
_PARAMETER_SAFE = _QUERY_SAFE.replace("&", "")


def normal_base_path(path: str) -> str:
    """The configured base path with one slash before it and none behind; "" for none."""
    bare = path.strip("/")
    return f"/{bare}" if bare else ""


def place(path: str, stage_prefix: str, base_path: str, domain: str) -> tuple[str, str]:
    """The path that the application has to route, and the prefix under which clients see it.

    A named stage leads the path of an HTTP API's events. It is part of the URL on the API's own
    domain only: a custom domain maps a path of its own, which the event may not show at all, so
    there the configured base path is the prefix.
    """
    root, staged = "", False
    if stage_prefix:
        rest = _without(path, stage_prefix)
        if rest is not None:
            path, staged = rest, True
            root = stage_prefix if ".execute-api." in domain else ""
    if base_path:
        rest = _without(path, base_path)
        if rest is not None:
            return rest, root + base_path
        if staged and not root:
            return path, base_path
    return path, root


def _without(path: str, prefix: str) -> str | None:
    if path.startswith(prefix):
        rest = path[len(prefix) :]
        if not rest or rest[0] == "/":
            return rest or "/"
    return None


def ascii_path(path: str) -> str:
    """The path with what may not stand in a URL percent-encoded; existing escapes are kept."""
    return _quote(path, _PATH_SAFE)


def ascii_query(query: str) -> bytes:
    """The query string with what may not stand in a URL percent-encoded."""
    return (query if is_url_text(query) else _quote(query, _QUERY_SAFE)).encode()


def is_url_text(value: str) -> bool:
    """Whether it has no character that can stand in no part of a URL: blanks, control characters
    and what is not ASCII."""
    return value.isascii() and value.isprintable() and " " not in value


def _quote(value: str, safe: str) -> str:
    from urllib.parse import quote

    return quote(value, safe, errors="surrogatepass")


def text(path: str) -> str:
    """The path with its percent escapes decoded, as UTF-8."""
    if "%" not in path:
        return path
    from urllib.parse import unquote

    return unquote(path)


def raw(path: str) -> str:
    """The path with its percent escapes decoded, each byte a character, as WSGI has it."""
    if "%" not in path:
        return path
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


def query_string(parameters: "Iterable[tuple[str, str]]", *, encoded: bool) -> bytes:
    """Parameters as a query string; ``encoded`` when they carry their percent escapes still."""
    if encoded:
        return ascii_query("&".join(f"{name}={value}" for name, value in parameters))
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in parameters).encode()


def _quoted(value: str) -> str:
    if value.isascii() and value.isalnum():
        return value
    from urllib.parse import quote_plus

    return quote_plus(value, errors="surrogatepass")


def tolerant_query_string(parameters: "Iterable[tuple[str, str]]") -> bytes:
    """Parameters as a query string, whether they carry their percent escapes or not."""
    return "&".join(
        f"{_quote(name, _PARAMETER_SAFE.replace('=', ''))}={_quote(value, _PARAMETER_SAFE)}"
        for name, value in parameters
    ).encode()
