"""The three engines against each other, against the standard library and simplejson's rules."""

import builtins
import collections
import dataclasses
import datetime
import decimal
import enum
import gc
import json
import math
import threading
import uuid
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lambda_runtime import payload
from lambda_runtime.ground.faults import FaultException
from lambda_runtime.payload import exact

ENGINES = ["interpreter", "orjson"] if find_spec("orjson") else ["interpreter"]


@pytest.fixture(params=ENGINES, autouse=True, scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each test runs on every engine that may be in service: orjson need not be there."""
    kept = payload._orjson, payload._handled
    payload._orjson = None
    payload._handled = -(10**9)
    adopt = payload._adopt_orjson
    if request.param == "orjson":
        adopt()
    payload._adopt_orjson = lambda: None
    yield request.param
    payload._adopt_orjson = adopt
    payload._orjson, payload._handled = kept


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
)
ANY_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates included
VALUES = st.recursive(
    SCALARS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=20,
)


def same(one: object, other: object) -> bool:
    """Equal, and of the same types all the way down; nan equals nan."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return one == other


@given(VALUES, st.booleans(), st.sampled_from(["", " ", "\n\t"]))
@example(10**30, False, "")
@example(-(2**63) - 1, False, "")
@example([2**64, 1.0, -0.0], False, "")
@example("\ud800", True, "")
@example(float("inf"), False, "")
def test_documents_are_read_as_the_standard_library_reads_them(
    value: object, ascii_only: bool, blank: str
) -> None:
    try:
        document = blank + json.dumps(value, ensure_ascii=ascii_only, allow_nan=False) + blank
        raw = document.encode()
    except ValueError:
        return  # no JSON, or no UTF-8, for it
    assert same(payload.decode(raw), json.loads(raw))
    assert same(payload.decode(bytearray(raw)), json.loads(raw))


@pytest.mark.parametrize(
    "document",
    [
        '{"a":1,"a":2,"b":0,"a":3}',
        "1e400",
        "-1e400",
        "-0",
        "-0.0",
        "0.1000000000000000055511151231257827021181583404541015625",
        "123456789012345678901234567890",
        "12345678901234567890.5",
        '"1234567890123456789012345"',
        '"\\ud83d\\ude00 \\ud800 \\u0000"',
        "[" * 150 + "]" * 150,
        '{"\\u00e9": "é"}',
        "\ufeff[1]",
        " null ",
    ],
)
def test_documents_with_an_edge(document: str) -> None:
    raw = document.encode()
    assert same(payload.decode(raw), json.loads(raw))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_the_other_encodings_the_standard_library_reads(encoding: str) -> None:
    assert payload.decode('{"é":[1]}'.encode(encoding)) == {"é": [1]}


@pytest.mark.parametrize(
    "document",
    [
        "",
        " ",
        "{",
        "[1,]",
        "nul",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1 2",
        "'a'",
        '"\t"',
        "01",
        "\xff",
    ],
)
def test_what_is_not_json_is_an_unmarshal_error(document: str) -> None:
    with pytest.raises(FaultException, match="Unable to unmarshal input: ") as caught:
        payload.unmarshal_request(document.encode("latin-1"), "application/json")
    assert caught.value.exception_type == "Runtime.UnmarshalError"


def test_nesting_without_end_is_an_unmarshal_error() -> None:
    with pytest.raises(FaultException, match="Unable to unmarshal input: "):
        payload.unmarshal_request(b"[" * 200_000, "application/json")


@pytest.mark.parametrize(
    ("content_type", "event"),
    [
        ("application/json", [1]),
        (None, [1]),
        ("application/json; charset=utf-8", [1]),
        ("application/octet-stream", b"[1]"),
        ("", b"[1]"),
    ],
)
def test_content_types(content_type: str | None, event: object) -> None:
    read = payload.unmarshal_request(bytearray(b"[1]"), content_type)
    assert read == event
    assert type(read) is type(event)


@given(VALUES.filter(lambda value: "Infinity" not in json.dumps(value)))
def test_results_come_back_as_they_were(value: object) -> None:
    assert same(json.loads(payload.encode(value)), json.loads(json.dumps(value)))
    assert same(json.loads(exact.encode(value)), json.loads(json.dumps(value)))


class Point(NamedTuple):
    x: object
    y: object


class AsDict:
    def _asdict(self) -> dict[str, int]:
        return {"as": 1}


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    __slots__ = ()


class Ratio(float):
    __slots__ = ()


@dataclasses.dataclass
class Record:
    name: str
    owner: object = None
    _hidden: int = 0


@dataclasses.dataclass(slots=True)
class Slotted:
    a: object
    _b: int = 1


UTC_PLUS = datetime.timezone(datetime.timedelta(hours=5, minutes=30))

RICH: list[tuple[object, object]] = [
    (decimal.Decimal("1.10"), 1.10),
    (decimal.Decimal("12345678901234567890.12"), 12345678901234567890.12),
    (decimal.Decimal("1E+2"), 100.0),
    (decimal.Decimal("NaN"), None),
    (decimal.Decimal("-Infinity"), None),
    ((1, (2, [3])), [1, [2, [3]]]),
    (Point(1, Point(2, 3)), {"x": 1, "y": {"x": 2, "y": 3}}),
    (AsDict(), {"as": 1}),
    ({True: 1, False: 2}, {"true": 1, "false": 2}),
    ({1: "a", 2.5: "b", None: "d"}, {"1": "a", "2.5": "b", "null": "d"}),
    ({10**30: 1}, {str(10**30): 1}),
    (10**30, 10**30),
    ([-(2**63), 2**64 - 1, 2**64], [-(2**63), 2**64 - 1, 2**64]),
    (float("nan"), None),
    ([float("inf"), {"a": float("-inf")}], [None, {"a": None}]),
    ("é😀", "é😀"),
    ("\udc80", "\udc80"),
    ({"\ud800": "\ud800"}, {"\ud800": "\ud800"}),
    ({"b": b"bytes"}, {"b": "bytes"}),
    (datetime.datetime(2020, 1, 2, 3, 4, 5, 6), "2020-01-02T03:04:05.000006"),
    (datetime.datetime(2020, 1, 2, tzinfo=UTC_PLUS), "2020-01-02T00:00:00+05:30"),
    (datetime.date(2020, 1, 2), "2020-01-02"),
    (datetime.time(1, 2, 3), "01:02:03"),
    (datetime.time(1, 2, 3, 10_000), "01:02:03.010000"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ([Colour.RED, Level.HIGH], ["red", 3]),
    ({Colour.RED: 1, Level.HIGH: 2}, {"red": 1, "3": 2}),
    ([Text("t"), Ratio(0.5)], ["t", 0.5]),
    ({Text("k"): 1}, {"k": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(list, a=[1]), {"a": [1]}),
    (Record("n", Slotted(1)), {"name": "n", "owner": {"a": 1}}),
    ([Record("n", decimal.Decimal("0.1")), 10**20], [{"name": "n", "owner": 0.1}, 10**20]),
]


@pytest.mark.parametrize(("value", "read"), RICH, ids=[repr(value)[:40] for value, _ in RICH])
def test_rich_results(value: object, read: object) -> None:
    assert json.loads(payload.encode(value)) == read
    assert json.loads(payload.encode({"in": [value]})) == {"in": [read]}
    assert json.loads(exact.encode(value)) == read


def test_a_decimal_keeps_every_digit() -> None:
    digits = "3.14159265358979323846264338327950288419716939937510"
    assert payload.encode([decimal.Decimal(digits)]) == f"[{digits}]".encode()


RICH_VALUES = st.recursive(
    SCALARS
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.uuids()
    | st.sampled_from([Colour.RED, Level.HIGH, float("nan")]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Point, inner, inner)
        | st.builds(Record, st.text(max_size=5), inner)
        | st.builds(Slotted, inner)
        | st.dictionaries(
            st.integers(-(2**53), 2**53)
            | st.text(max_size=5)
            | st.uuids()
            | st.dates()
            | st.none(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(RICH_VALUES)
def test_the_engines_agree(value: object) -> None:
    exactly = json.loads(exact.encode(value), parse_float=decimal.Decimal)
    served = json.loads(payload.encode(value), parse_float=decimal.Decimal)
    assert served == exactly


def circle() -> object:
    inner: list[object] = []
    inner.append({"again": inner})
    return inner


def dataclass_circle() -> Record:
    record = Record("n")
    record.owner = [record]
    return record


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (object, "result: object of type object is not JSON serializable"),
        (lambda: {"a": {1, 2}}, 'result["a"]: object of type set is not JSON serializable'),
        (
            lambda: {"items": [0, 1, 2, Record("n", object())]},
            'result["items"][3].owner: object of type object is not JSON serializable',
        ),
        (lambda: [Point(1, 1j)], 'result[0]["y"]: object of type complex is not JSON serializable'),
        (lambda: {"a": {(1, 2): 3}}, 'result["a"]: key of type tuple'),
        (lambda: {object(): 3}, "result: key of type object is not JSON serializable"),
        (lambda: [b"\xff"], "result[0]: object of type bytes that is not UTF-8"),
        (lambda: {7: [object()]}, "result[7][0]: object of type object is not JSON serializable"),
        (lambda: [Record], "result[0]: object of type type is not JSON serializable"),
        (circle, 'result[0]["again"]: circular reference: this list holds itself'),
        (dataclass_circle, "result.owner[0]: circular reference: this Record holds itself"),
        (lambda: nested(100_000), "result: nested too deeply"),
        (lambda: datetime.time(1, tzinfo=datetime.UTC), "result: object of type time is not"),
    ],
)
def test_what_cannot_be_written_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(FaultException) as caught:
        payload.marshal_response(make())
    assert caught.value.exception_type == "Runtime.MarshalError"
    assert str(caught.value).startswith(f"Unable to marshal response: {message}")
    # A failure leaves nothing behind that the next result would stumble over.
    assert json.loads(payload.encode([{"a": []}])) == [{"a": []}]


def test_the_same_object_twice_is_no_circle() -> None:
    shared = {"a": [1]}
    assert json.loads(payload.encode([shared, shared, Point(shared, shared)]))


def test_bytes_pass_through() -> None:
    assert payload.marshal_response(b"\x00\xff") == (b"\x00\xff", "application/unknown")
    assert payload.marshal_response("é") == ('"é"'.encode(), "application/json")


def test_deep_results_within_the_interpreters_limit() -> None:
    assert payload.encode(nested(300)) == b"[" * 300 + b"1" + b"]" * 300


if hasattr(builtins, "frozendict"):  # since 3.15

    def test_frozen_dictionaries() -> None:
        frozen = vars(builtins)["frozendict"]({"a": (1, None)})
        assert json.loads(payload.encode(frozen)) == {"a": [1, None]}
        assert json.loads(payload.encode([Point(frozen, 10**30)])) == [
            {"x": {"a": [1, None]}, "y": 10**30}
        ]
        with pytest.raises(FaultException, match="key of type frozendict"):
            payload.encode({frozen: Point(1, 2)})


@pytest.mark.parametrize("shift", range(-20, 3))
@pytest.mark.parametrize("pieces", [1, 5])
def test_a_long_integer_anywhere_in_a_large_document_stays_exact(shift: int, pieces: int) -> None:
    """Documents are searched for them in pieces: here one lies across the border of two."""
    number = 12345678901234567890123
    before = "x" * (pieces * payload._PIECE + shift - 2)
    document = json.dumps([before, number, "y" * payload._PIECE]).encode()
    for given_as in (document, bytearray(document)):
        assert payload.decode(given_as)[1] == number  # type: ignore[index]


def large_event() -> bytes:
    return json.dumps([{"number": number, "of": {}} for number in range(20_000)]).encode()


@pytest.fixture
def collections_seen() -> Iterator[list[int]]:
    """The garbage collections while the test runs, with the usual thresholds."""
    thresholds, seen = gc.get_threshold(), list[int]()

    def see(phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            seen.append(about["generation"])

    gc.set_threshold(700, 10, 10)
    gc.collect()
    gc.callbacks.append(see)
    yield seen
    gc.callbacks.remove(see)
    payload.decode(b"1")
    gc.set_threshold(*thresholds)


def test_a_large_event_starts_no_collection_and_a_handlers_objects_do(
    engine: str, collections_seen: list[int]
) -> None:
    if engine != "orjson":
        return
    document = large_event()
    collections_seen.clear()
    event = payload.decode(document)
    few: list[Any] = [[] for _ in range(10)]
    payload.encode([event, few])
    assert collections_seen == []
    many: list[Any] = [[] for _ in range(2000)]
    assert collections_seen
    assert (len(few), len(many)) == (10, 2000)


def test_the_thresholds_are_the_functions_again_with_the_next_event(
    engine: str, collections_seen: list[int]
) -> None:
    event = payload.decode(large_event())
    assert (gc.get_threshold()[0] > 700) is (engine == "orjson")
    del event
    payload.decode(b"{}")
    assert gc.get_threshold()[0] == 700


def test_thresholds_that_a_handler_sets_are_kept(collections_seen: list[int]) -> None:
    payload.decode(large_event())
    gc.set_threshold(9, 8, 7)
    payload.decode(b"{}")
    assert gc.get_threshold()[:2] == (9, 8)
    gc.disable()
    try:
        payload.decode(large_event())
        assert not gc.isenabled()
        assert gc.get_threshold()[0] == 9
    finally:
        gc.enable()
    gc.set_threshold(0)
    payload.decode(large_event())
    assert gc.get_threshold()[0] == 0


def test_thresholds_are_the_usual_ones_after_many_threads(collections_seen: list[int]) -> None:
    document = large_event()

    def read() -> None:
        for _ in range(20):
            payload.decode(document)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    payload.decode(b"{}")
    assert gc.get_threshold()[0] == 700
