"""The parser against h11, which is not ours, and against what must be refused."""

from collections.abc import Callable, Iterator

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_runtime.runtime_api import http1
from support.fuzz import examples

NAMES = st.text("!#$%&'*+-.^_`|~0123456789abcxyzABCXYZ", min_size=1, max_size=20)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


def head_bytes(status: int, fields: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} Some Reason", *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode()


def read_by_h11(block: bytes) -> tuple[int, dict[str, str]]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(block + b"\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, (h11.Response, h11.InformationalResponse)), event
    fields: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode(), raw_value.decode()
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return event.status_code, fields


HEADS = [
    (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Id: {number:03}\r\n"
        f"Date: Thu, 01 Jan 2026 00:00:0{number // 2} GMT\r\n{framing}"
    ).encode()
    for framing in ("Content-Length: 12", "Connection: keep-alive", "Transfer-Encoding: chunked")
    for number in range(6)
]


@pytest.fixture
def learnt() -> Iterator[None]:
    """Heads of each length have been read before."""
    http1._heads.clear()
    for head in HEADS:
        assert http1.parse_head(head) == http1._parse_head(head)
    yield
    http1._heads.clear()


@pytest.mark.usefixtures("learnt")
def test_a_head_is_read_by_comparison_with_the_last_one() -> None:
    layout = http1._heads[len(HEADS[0])]
    assert isinstance(layout, http1._Layout)
    assert [name for name, _ in layout.varying] == ["x-id", "date"]
    assert layout.read(HEADS[0]) == http1._parse_head(HEADS[0])[1]


@pytest.mark.usefixtures("learnt")
@given(
    st.sampled_from(HEADS),
    st.integers(0, len(HEADS[0])),
    st.sampled_from([b"\r", b"\n", b"\0", b" ", b"\t", b":", b"9", b"\xff", b"\r\n", b"e: close"]),
)
@settings(max_examples=examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_has_been_learnt_changes_no_meaning(head: bytes, at: int, put: bytes) -> None:
    mutated = head[:at] + put + head[at + len(put) :]
    for _ in range(2):
        assert result_of(http1.parse_head, mutated) == result_of(http1._parse_head, mutated)
    assert http1.parse_head(head) == http1._parse_head(head)


def result_of(parse: Callable[[bytes], object], head: bytes) -> object:
    try:
        return parse(head)
    except http1.ProtocolError as error:
        return str(error)


@given(st.integers(200, 599), st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_heads_read_as_h11_reads_them(status: int, fields: list[tuple[str, str]]) -> None:
    framing = {"content-length", "transfer-encoding"}
    block = head_bytes(status, [field for field in fields if field[0].lower() not in framing])
    assert http1.parse_head(block)[:2] == read_by_h11(block)


@given(st.binary(max_size=120))
@settings(max_examples=examples(150))
def test_arbitrary_bytes_are_parsed_or_refused(block: bytes) -> None:
    block = block.replace(b"\r\n\r\n", b"")
    try:
        status, headers, _ = http1.parse_head(b"HTTP/1.1 200 OK\r\n" + block)
        http1.body_length(status, headers)
    except http1.ProtocolError:
        return
    assert status == 200
    assert all(name == name.lower() and "\n" not in value for name, value in headers.items())


@pytest.mark.parametrize(
    "line",
    [
        "HTTP/2 200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 low",
        "HTTP/1.1 ２００ OK",
        "HTTP/1.12 200 OK",
        "ICY 200 OK",
        "HTTP/1.1 200 OK\nContent-Length: 2",
        "HTTP/1.1 200 OK\rContent-Length: 2",
        "HTTP/1.1 200 OK\0",
        "",
    ],
)
def test_status_lines_that_are_not_one(line: str) -> None:
    with pytest.raises(http1.ProtocolError):
        http1.parse_status_line(line)


@pytest.mark.parametrize("line", ["HTTP/1.1 204 ", "HTTP/1.1 204", "HTTP/1.0 204 No Content"])
def test_a_reason_may_be_missing(line: str) -> None:
    assert http1.parse_status_line(line) == 204


@pytest.mark.parametrize(
    "line",
    ["no colon", ": no name", "a b: blank", "a : blank", "a: b\rc: d", "a: \x00", " a: fold"],
)
def test_header_lines_that_are_not_one(line: str) -> None:
    with pytest.raises(http1.ProtocolError):
        http1.parse_fields([line])


def test_a_known_name_without_its_colon_is_refused() -> None:
    http1.parse_head(b"HTTP/1.1 200 OK\r\nDate: today")
    with pytest.raises(http1.ProtocolError):
        http1.parse_head(b"HTTP/1.1 200 OK\r\nDate")
    with pytest.raises(http1.ProtocolError):
        http1.parse_fields(["Date"])


@pytest.mark.parametrize(
    ("status", "headers", "length"),
    [
        (204, {"content-length": "5"}, 0),
        (304, {}, 0),
        (100, {}, 0),
        (200, {"content-length": "5"}, 5),
        (200, {"content-length": "5, 5"}, 5),
        (200, {"content-length": "0000000000000000000005"}, 5),
        (200, {"content-length": "000"}, 0),
        (200, {"transfer-encoding": "Chunked", "content-length": "5"}, http1.CHUNKED),
        (200, {}, http1.UNTIL_CLOSE),
    ],
)
def test_framing(status: int, headers: dict[str, str], length: int) -> None:
    assert http1.body_length(status, headers) == length


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "-1"},
        {"content-length": "+1"},
        {"content-length": "1 1"},
        {"content-length": "1,"},
        {"content-length": "0x1"},
        {"content-length": "1_0"},
        {"content-length": "0" * 5000 + "9" * 16},
        {"transfer-encoding": "chunked, chunked"},
        {"content-length": "5, 6"},
        {"content-length": ""},
        {"content-length": "٥"},
        {"content-length": str(http1.MAX_BODY + 1)},
        {"content-length": "9" * 5000},
        {"transfer-encoding": "gzip, chunked"},
    ],
)
def test_framing_that_cannot_be_trusted(headers: dict[str, str]) -> None:
    with pytest.raises(http1.ProtocolError):
        http1.body_length(200, headers)


@pytest.mark.parametrize(
    ("line", "size"),
    [
        (b"0", 0),
        (b"a;x=y", 10),
        (b"00FF", 255),
        (b"1f  ", 31),
        (b"0" * 5000 + b"1", 1),
    ],
)
def test_chunk_sizes(line: bytes, size: int) -> None:
    assert http1.chunk_size(line) == size


@pytest.mark.parametrize(
    ("lines", "closing"),
    [
        (["HTTP/1.1 200 OK"], False),
        (["HTTP/1.1 200 OK", "Connection: close"], True),
        (["HTTP/1.1 200 OK", "connection: keep-alive, Close"], True),
        (["HTTP/1.1 200 OK", "Connection: keep-alive", "Connection: foo,\tCLOSE ,"], True),
        (["HTTP/1.1 200 OK", "Connection: closed, not-close"], False),
        (["HTTP/1.1 200 OK", "Connection: keep-alive"], False),
        (["HTTP/1.0 200 OK"], True),
        (["HTTP/1.0 200 OK", "Connection: Keep-Alive"], False),
        (["HTTP/1.0 200 OK", "Connection: keep-alive, close"], True),
        (["HTTP/1.0 200 OK", "Connection: keep-alive", "Transfer-Encoding: chunked"], True),
        (["HTTP/1.1 200 OK", "Content-Length: 1", "Transfer-Encoding: chunked"], True),
    ],
)
def test_when_the_peer_closes(lines: list[str], closing: bool) -> None:
    assert http1.parse_head("\r\n".join(lines).encode())[2] is closing
    assert http1.parse_head("\r\n".join([*lines, "X-New-To-It: 1"]).encode())[2] is closing


@pytest.mark.parametrize(
    "line", [b"", b"-1", b"0x10", b"1_0", b" 1", b"g", b"2;a\nb", b"2;a\r", b"f" * 5000]
)
def test_chunk_sizes_that_are_not_one(line: bytes) -> None:
    with pytest.raises(http1.ProtocolError):
        http1.chunk_size(line)


@given(st.text())
def test_a_quoted_segment_stays_one_segment(segment: str) -> None:
    from urllib.parse import unquote

    quoted = http1.quote(segment)
    assert quoted.isascii()
    assert not set(quoted) & set("/? #\r\n")
    assert unquote(quoted, errors="surrogatepass") == segment


@given(st.text())
def test_a_header_value_stays_on_its_line(value: str) -> None:
    assert not set(http1.field_value(value)) & {"\r", "\n", "\0"}
