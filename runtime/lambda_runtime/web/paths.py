"""Paths and query strings of requests, restored from the fields of the front doors' events."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_PATH_SAFE = "/%:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?[]|"
_PARAMETER_SAFE = _QUERY_SAFE.replace("&", "")


def normal_base_path(path: str) -> str:
    """The base path with one slash at the start and none at the end; "" for no base path."""
    bare = path.strip("/")
    return f"/{bare}" if bare else ""


def place(path: str, stage_prefix: str, base_path: str, domain: str) -> tuple[str, str]:
    """The path that the application routes, and the prefix before it in the client's URL.

    In an HTTP API's event the path begins with the stage's name. That name is part of the URL only
    on the API's own domain. A custom domain maps a base path of its own, which the event may not
    contain. In that case the configured base path is the prefix.
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
    """Percent-encode the characters that a URL's path may not have; keep existing escapes."""
    return _quote(path, _PATH_SAFE)


def ascii_query(query: str) -> bytes:
    """Percent-encode the characters that a URL's query may not have; keep existing escapes."""
    return (query if is_url_text(query) else _quote(query, _QUERY_SAFE)).encode()


def is_url_text(value: str) -> bool:
    """Whether the value has only printable ASCII characters and no spaces.

    No part of a URL may have other characters.
    """
    return value.isascii() and value.isprintable() and " " not in value


def _quote(value: str, safe: str) -> str:
    from urllib.parse import quote

    return quote(value, safe, errors="surrogatepass")


def text(path: str) -> str:
    """Decode the path's percent escapes, as UTF-8."""
    if "%" not in path:
        return path
    from urllib.parse import unquote

    return unquote(path)


def raw(path: str) -> str:
    """Decode the path's percent escapes to one character for each byte, as WSGI requires."""
    if "%" not in path:
        return path
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path).decode("latin-1")


def query_string(parameters: "Iterable[tuple[str, str]]", *, encoded: bool) -> bytes:
    """Build a query string. ``encoded`` says that the parameters still have their escapes."""
    if encoded:
        return ascii_query("&".join(f"{name}={value}" for name, value in parameters))
    return "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in parameters).encode()


def _quoted(value: str) -> str:
    if value.isascii() and value.isalnum():
        return value
    from urllib.parse import quote_plus

    return quote_plus(value, errors="surrogatepass")


def tolerant_query_string(parameters: "Iterable[tuple[str, str]]") -> bytes:
    """Build a query string from parameters that may or may not have their percent escapes."""
    return "&".join(
        f"{_quote(name, _PARAMETER_SAFE.replace('=', ''))}={_quote(value, _PARAMETER_SAFE)}"
        for name, value in parameters
    ).encode()
