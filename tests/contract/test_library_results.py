"""Results made of the types of NumPy, pandas, pydantic, attrs and msgspec."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec
import numpy
import pandas
import pydantic
import pytest

from lambda_emulator.threaded import ThreadedEmulator
from lambda_runtime import payload
from lambda_runtime.ground.faults import FaultException
from lambda_runtime.payload import exact, libraries
from support.paths import ROOT

NAT = numpy.datetime64("NaT")
PAIR = [("x", int), ("at", "datetime64[s]")]
ROWS: Any = [(1, NAT)]
MASK: Any = [(True, False)]
STEPS: Any = "25s"


@pytest.fixture(params=["interpreter", "orjson"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs on both engines that may be in service."""
    monkeypatch.setattr(payload, "_orjson", None)
    monkeypatch.setattr(payload, "_handled", -(10**9))
    if request.param == "orjson":
        payload._adopt_orjson()
    monkeypatch.setattr(payload, "_adopt_orjson", lambda: None)


def written(value: object) -> Any:
    document = payload.encode(value)
    assert exact.encode(value).encode() == document
    return json.loads(document, parse_constant=pytest.fail)


class Colour(enum.Enum):
    RED = numpy.int8(1)


@dataclasses.dataclass
class Row:
    at: object
    values: object


@attrs.define
class Point:
    x: object
    _secret: object = 1


@attrs.frozen
class Frozen:
    x: int


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)

    at: datetime.datetime
    price: decimal.Decimal
    tags: set[str] = set()
    key: pydantic.SecretStr = pydantic.SecretStr("hidden")
    paid: bool = pydantic.Field(default=False, serialization_alias="isPaid")
    extra: object = None


class Names(pydantic.RootModel[list[str]]):
    pass


class Struct(msgspec.Struct, rename="camel", tag="kind"):
    user_id: uuid.UUID
    extra: object = None


MOMENT = datetime.datetime(2020, 1, 2, 3, 4, 5)
ORDER = {
    "at": "2020-01-02T03:04:05",
    "price": "1.20",
    "tags": [],
    "key": "**********",
    "paid": False,
    "extra": None,
}

RESULTS: list[tuple[object, object]] = [
    # NumPy
    ([numpy.int64(3), numpy.uint64(2**64 - 1), numpy.int8(-1)], [3, 2**64 - 1, -1]),
    ([numpy.float64(0.1), numpy.float32(0.5), numpy.float16(2), numpy.longdouble(1.5)],
     [0.1, 0.5, 2.0, 1.5]),
    ([numpy.bool_(True), numpy.str_("é"), numpy.bytes_(b"b")], [True, "é", "b"]),
    ([numpy.float64("nan"), numpy.float32("inf"), NAT], [None] * 3),
    (numpy.arange(3), [0, 1, 2]),
    (numpy.array(3), 3),
    (numpy.array([[1.5, numpy.nan], [numpy.inf, 2]]), [[1.5, None], [None, 2.0]]),
    (numpy.arange(6).reshape(2, 3).T[::2], [[0, 3], [2, 5]]),
    (numpy.array([1, 2], ">i4"), [1, 2]),
    (numpy.array([0.5], "g"), [0.5]),
    (numpy.array([], float), []),
    (numpy.array(["a", "bc"]), ["a", "bc"]),
    (numpy.array([None, MOMENT, numpy.int64(1)], object), [None, "2020-01-02T03:04:05", 1]),
    (numpy.ma.array([1, 2], mask=[False, True]), [1, None]),
    (numpy.ma.masked, None),
    (numpy.ma.array(ROWS, mask=MASK, dtype=PAIR), [{"x": None, "at": None}]),
    (numpy.array([(1, "2020-01-02")], PAIR), [{"x": 1, "at": "2020-01-02T00:00:00"}]),
    (numpy.array((1, NAT), PAIR), {"x": 1, "at": None}),
    (numpy.rec.array(ROWS, dtype=PAIR)[0], {"x": 1, "at": None}),
    ([numpy.datetime64("2020", "Y"), numpy.datetime64("2020-05", "M")],
     ["2020-01-01", "2020-05-01"]),
    ([numpy.datetime64("2020-05-06T07", "h"), numpy.datetime64("2020-05-06T07:08", "m")],
     ["2020-05-06T07:00:00", "2020-05-06T07:08:00"]),
    ([numpy.datetime64(MOMENT, unit) for unit in ("s", "ms", "us", "ns")],
     ["2020-01-02T03:04:05"] * 4),
    ([numpy.datetime64("2020-05-06T07:08:09.5", "ms"), numpy.datetime64(1, "ns")],
     ["2020-05-06T07:08:09.500000", "1970-01-01T00:00:00.000000001"]),
    (numpy.array(["2020-01-02", "NaT"], "datetime64[D]"), ["2020-01-02", None]),
    (numpy.array("2020-01-02", "datetime64[ns]"), "2020-01-02T00:00:00"),
    ([numpy.timedelta64(36, "h"), numpy.timedelta64(-90, "m"), numpy.timedelta64(1, "ns")],
     ["P1DT12H", "-PT1H30M", "PT0.000000001S"]),
    ([numpy.timedelta64(2, STEPS), numpy.timedelta64(3, "M"), numpy.timedelta64(-1, "Y")],
     ["PT50S", "P3M", "-P1Y"]),
    ([numpy.timedelta64("NaT"), numpy.timedelta64(7), numpy.timedelta64(0, "s")],
     [None, 7, "PT0S"]),
    # pandas
    (pandas.Timestamp("2020-01-02T03:04:05Z"), "2020-01-02T03:04:05+00:00"),
    (pandas.Timestamp(1), "1970-01-01T00:00:00.000000001"),
    ([pandas.NaT, pandas.NA], [None, None]),
    (pandas.Timedelta("1D 2h 3ns"), "P1DT2H0.000000003S"),
    (pandas.Period("2020-01"), "2020-01"),
    (pandas.Index([1, 2]), [1, 2]),
    (pandas.date_range("2020-01-02", periods=2),
     ["2020-01-02T00:00:00", "2020-01-03T00:00:00"]),
    (pandas.Categorical(["a", None]), ["a", None]),
    (pandas.array([1, None], "Int64"), [1, None]),
    (pandas.DataFrame({"n": [1, None], "at": pandas.to_datetime(["2020-01-02", None])})
     .to_dict("records"),
     [{"n": 1.0, "at": "2020-01-02T00:00:00"}, {"n": None, "at": None}]),
    (pandas.Series([1, 2], ["a", "b"]).to_dict(), {"a": 1, "b": 2}),
    # classes of the function's own
    (Point(numpy.int64(1), [Point(2, 3)]), {"x": 1, "_secret": [{"x": 2, "_secret": 3}]}),
    (Row(pandas.NaT, numpy.arange(2)), {"at": None, "values": [0, 1]}),
    ([Colour.RED], [1]),
    (Order(at=MOMENT, price=decimal.Decimal("1.20")), ORDER),
    ([{"order": Order(at=MOMENT, price=decimal.Decimal("1.20"))}], [{"order": ORDER}]),
    (Order(at=MOMENT, price=decimal.Decimal(2), extra=numpy.arange(2)),
     ORDER | {"price": "2", "extra": [0, 1]}),
    (Names(["a"]), ["a"]),
    (Struct(uuid.UUID(int=1)),
     {"type": "kind", "userId": "00000000-0000-0000-0000-000000000001", "extra": None}),
    (Struct(uuid.UUID(int=1), numpy.arange(2)),
     {"type": "kind", "userId": "00000000-0000-0000-0000-000000000001", "extra": [0, 1]}),
    # the standard library's
    ([datetime.timedelta(days=1, seconds=3723, microseconds=5), datetime.timedelta(hours=-26)],
     ["P1DT1H2M3.000005S", "-P1DT2H"]),
    # keys
    ({numpy.int64(3): 1, numpy.float32(0.5): 2, numpy.bool_(True): 3, numpy.str_("k"): 4},
     {"3": 1, "0.5": 2, "true": 3, "k": 4}),
    ({numpy.datetime64("2020-01-02"): 1, pandas.Timestamp("2020-01-03"): 2, pandas.NaT: 3},
     {"2020-01-02": 1, "2020-01-03T00:00:00": 2, "null": 3}),
    ({pandas.Period("2020-01"): 1, datetime.timedelta(1): 2}, {"2020-01": 1, "P1D": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "read"), RESULTS, ids=lambda value: repr(value)[:40])
def test_results(value: object, read: object) -> None:
    assert written(value) == read
    assert written({"in": [value]}) == {"in": [read]}


def attrs_circle() -> Point:
    point = Point(1)
    point.x = [point]
    return point


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {"a": numpy.array([1, 2j])}, 'result["a"][0]: object of type complex is not'),
        (lambda: [numpy.clongdouble(1j)], "result[0]: object of type complex is not"),
        (lambda: numpy.array([0, {1}], object), "result[1]: object of type set is not"),
        (lambda: [numpy.random.default_rng(1)], "result[0]: object of type Generator is not"),
        (lambda: {"df": pandas.DataFrame()}, 'result["df"]: a pandas DataFrame: return df.to_dict'),
        (lambda: [pandas.Series([1])], "result[0]: a pandas Series: return series.tolist(), or"),
        (lambda: pandas.interval_range(0, 1), "result[0]: object of type Interval is not"),
        (lambda: Point(1, [object()]), "result._secret[0]: object of type object is not"),
        (lambda: Order(at=MOMENT, price=decimal.Decimal(1), extra=[object()]),
         'result["extra"][0]: object of type object is not'),
        (lambda: [Struct(uuid.UUID(int=1), 1j)], "result[0]: object of type complex is not"),
        (lambda: {Frozen(1): 1}, "result: key of type Frozen"),
        (lambda: {(numpy.int64(1),): 1}, "result: key of type tuple"),
        (attrs_circle, "result.x[0]: circular reference: this Point holds itself"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(FaultException) as caught:
        payload.marshal_response(make())
    assert caught.value.exception_type == "Runtime.MarshalError"
    assert str(caught.value).startswith(f"Unable to marshal response: {message}")


def test_what_a_serializer_raises_is_the_error() -> None:
    class Broken(pydantic.BaseModel):
        x: int = 1
        y: set[int] = {1}

        @pydantic.field_serializer("x")
        def serialize(self, x: int) -> int:
            raise ZeroDivisionError("in the serializer")

    with pytest.raises(Exception, match="in the serializer"):
        payload.marshal_response([Broken()])


def test_types_made_anew_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_found", {})
    monkeypatch.setattr(libraries, "_FOUND_LIMIT", 5)
    monkeypatch.setattr(exact, "_converted", set())
    monkeypatch.setattr(exact, "_CONVERTED_LIMIT", 5)
    for number in range(9):
        kind = type(f"Array{number}", (numpy.ndarray,), {})
        assert written(numpy.arange(2).view(kind)) == [0, 1]
    assert len(libraries._found) == len(exact._converted) == 5


HANDLER = """
import sys

{imports}

def handler(event, context):
    loaded = [name for name in sys.modules if name.startswith("lambda_runtime.payload.")]
    return {{"loaded": loaded, "value": {value}}}
"""


@pytest.fixture
def answer(tmp_path: Path) -> Iterator[Callable[[str, str], list[Any]]]:
    """``answer(imports, value)``: what two invocations of a function return."""

    def invoke(imports: str, value: str) -> list[Any]:
        (tmp_path / "app.py").write_text(HANDLER.format(imports=imports, value=value))
        command = [sys.executable, "-S", str(ROOT / "bootstrap"), "app.handler"]
        with ThreadedEmulator(
            command=command, handler="app.handler", task_root=tmp_path
        ) as lambda_:
            return [lambda_.invoke({}).json() for _ in range(2)]

    yield invoke


def test_a_function_returns_them(answer: Callable[[str, str], list[Any]]) -> None:
    first, second = answer("import numpy", '{"i": numpy.int64(3), "a": numpy.arange(3)}')
    assert first == {"loaded": [], "value": {"i": 3, "a": [0, 1, 2]}}
    assert second["value"] == first["value"]
    assert "lambda_runtime.payload.libraries" in second["loaded"]


def test_nothing_is_imported_that_the_function_has_not_imported(
    answer: Callable[[str, str], list[Any]],
) -> None:
    known = '[name for name in sys.modules if name in ("numpy", "pandas", "pydantic", "attr")]'
    imports = "import datetime, enum\n\nclass Kind(enum.Enum):\n    ONE = 1\n"
    for result in answer(imports, f"[datetime.timedelta(1), Kind.ONE, {known}]"):
        assert result["value"] == ["P1D", 1, []]
        assert "lambda_runtime.payload.libraries" not in result["loaded"]


def test_the_example_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    (tmp_path / "app.py").write_text(page.split("```python\n")[1].split("```")[0])
    command = [sys.executable, "-S", str(ROOT / "bootstrap"), "app.handler"]
    with ThreadedEmulator(command=command, handler="app.handler", task_root=tmp_path) as lambda_:
        answer = lambda_.invoke({}).payload.decode()
    assert f"returns `{answer}`" in page
