"""The cases of the contract: each has a function, its events and its settings."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import context_facts
import environment
import errors
import hostile
import logging_records
import output
import pytest
import results
from _pytest.mark import ParameterSet

from support.contract.session import Case
from support.paths import ROOT

EVENTS = ROOT / "emulator" / "lambda_emulator" / "samples" / "events"

_ODD_EVENTS: dict[str, bytes] = {
    "string": b'"text"',
    "number": b"12.50",
    "null": b"null",
    "boolean": b"true",
    "array": b"[1, [2, []], {}]",
    "blanks": b' \n\t{"a" : 1 }\r\n ',
    "empty": b"",
    "not-json": b"{'single': 'quotes'}",
    "truncated": b'{"a": [1, 2',
    "trailing": b'{"a": 1} x',
    "trailing-comma": b"[1, 2,]",
    "leading-zero": b"[01]",
    "nan": b'{"value": NaN}',
    "infinity": b"[Infinity, -Infinity]",
    "control-character": b'"a\x01b"',
    "integer-big": b"[18446744073709551616, -9223372036854775809, 9007199254740993]",
    "float-precise": b"[0.1, 1e400, 1E-400, -0.0, 1.0, 100000000000000000000000.5]",
    "duplicate-keys": b'{"a": 1, "b": 2, "a": 3}',
    "escapes": rb'"\u00e9\n\/\ud83d\ude80\u0000"',
    "surrogate": rb'"lone \ud800 surrogate"',
    "non-ascii": '{"grüße": "世界 🚀 \u2028"}'.encode(),
    "invalid-utf-8": b'"\xff\xfe"',
    "byte-order-mark": b'\xef\xbb\xbf{"a": 1}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "nested-900": b"[" * 900 + b"]" * 900,
    "nested-100000": b"[" * 100_000 + b"]" * 100_000,
    "2048-bytes": json.dumps("x" * 2046).encode(),
    "2049-bytes": json.dumps("x" * 2047).encode(),
    "100-kilobytes": json.dumps([{"id": n, "name": "é" * 20} for n in range(1500)]).encode(),
    "5-megabytes": json.dumps({"data": "0123456789" * 500_000}).encode(),
}

_CLIENT = {
    "client": {
        "installation_id": "i-1",
        "app_title": "Shop",
        "app_version_name": "2.1",
        "app_version_code": "210",
        "app_package_name": "com.example.shop",
    },
    "custom": {"colour": "blå", "n": 1},
    "env": {"locale": "nb_NO"},
}
_TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "baggage": 7}

_CLIENT_CONTEXTS: dict[str, bytes] = {
    "full": json.dumps(_CLIENT, ensure_ascii=True).encode(),
    "custom-only": b'{"custom": {"a": 1}}',
    "empty-object": b"{}",
    "null": b"null",
    "unknown-fields": b'{"other": 1, "client": {"other": 2}}',
    "w3c": json.dumps({"custom": {}, "w3c": _TRACE}).encode(),
    "w3c-not-object": b'{"w3c": "00-1-2-3"}',
    "not-json": b"{custom}",
    "array": b"[1]",
    "client-not-object": b'{"client": 7}',
    "custom-not-object": b'{"custom": 7, "env": []}',
}

_INIT: dict[str, str] = {
    "module-missing": "no_such_module.handler",
    "module-misspelled": "ecko.handler",
    "package-missing": "no/such/module.handler",
    "submodule-missing": "package.inner.nothing.handler",
    "function-missing": "echo.nothing",
    "function-misspelled": "echo.handlr",
    "no-dot": "echo",
    "only-dot": ".",
    "no-module": ".handler",
    "no-function": "echo.",
    "built-in": "sys.handler",
    "built-in-submodule": "time.inner.handler",
    "syntax": "broken/syntax.handler",
    "indentation": "broken/indentation.handler",
    "nul": "broken/nul.handler",
    "encoding": "broken/encoding.handler",
    "imports-missing": "broken/imports_missing.handler",
    "imports-missing-name": "broken/imports_missing_name.handler",
    "imports-broken": "broken/imports_broken.handler",
    "raises-import-error": "broken/raises_import_error.handler",
    "raises": "broken/raises.handler",
    "raises-chained": "broken/raises_chained.handler",
    "raises-group": "broken/raises_group.handler",
    "raises-non-ascii": "broken/raises_non_ascii.handler",
    "raises-base": "broken/raises_base.handler",
    "recurses": "broken/recurses.handler",
    "exits": "broken/exits.handler",
    "exits-clean": "broken/exits_clean.handler",
    "exits-message": "broken/exits_message.handler",
    "dies": "broken/dies.handler",
    "killed": "broken/killed.handler",
}

_FORMS = (
    "echo.describe", "folder/app.handler", "package.inner.app.handler", "package/inner/app.handler",
    "package.inner.app.Shop.handler", "forms.Shop.static", "forms.Made", "forms.instance",
    "forms.method", "forms.partial", "forms.shorter", "forms.cached", "forms.one_argument",
    "forms.generator", "forms.coroutine", "forms.not_callable", "forms.made_late",
)  # fmt: skip

_LOG_SETTINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "text": (),
    "text-info": (("AWS_LAMBDA_LOG_LEVEL", "INFO"),),
    "text-lower-case": (("AWS_LAMBDA_LOG_FORMAT", "text"), ("AWS_LAMBDA_LOG_LEVEL", "debug")),
    "json": (("AWS_LAMBDA_LOG_FORMAT", "JSON"),),
    "json-trace": (("AWS_LAMBDA_LOG_FORMAT", "json"), ("AWS_LAMBDA_LOG_LEVEL", "TRACE")),
    "json-error": (("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "ERROR")),
    "json-fatal": (("AWS_LAMBDA_LOG_FORMAT", "JSON"), ("AWS_LAMBDA_LOG_LEVEL", "FATAL")),
    "unknown": (("AWS_LAMBDA_LOG_FORMAT", "XML"), ("AWS_LAMBDA_LOG_LEVEL", "LOUD")),
}
# The two formats get every record. The levels get only those that differ between levels.
_LEVEL_RECORDS = ("levels", "set-level", "handlers", "exception", "raise")


def all_cases() -> list[Case]:
    """All cases. Cases of the same function follow each other."""
    groups: Iterable[Iterator[Case]] = (
        _events(), _results(), _errors(), _contexts(), _environment(), _output(),
        _logging(), _forms(), _init(), _hostile(),
    )  # fmt: skip
    return [case for group in groups for case in group]


def fixtures() -> list[Path]:
    """The event documents."""
    return sorted(EVENTS.glob("*.json"))


def _named(group: str, handler: str, names: Iterable[str], **more: Any) -> Iterator[Case]:
    for name in names:
        yield Case(f"{group}-{name}", handler, (json.dumps(name).encode(),), **more)


def _events() -> Iterator[Case]:
    for file in fixtures():
        yield Case(f"event-{file.stem}", "echo.handler", (file.read_bytes(),))
    for name, event in _ODD_EVENTS.items():
        yield Case(f"event-odd-{name}", "echo.handler", (event, b'"next"'))
    for name, event in _ODD_EVENTS.items():
        if len(event) < 1000:
            yield Case(f"event-value-{name}", "echo.describe", (event,))


def _results() -> Iterator[Case]:
    return _named("result", "results.handler", results.RESULTS)


def _errors() -> Iterator[Case]:
    yield from _named("error", "errors.handler", errors.ERRORS)
    names = ("plain", "elsewhere", "lines", "cause", "notes", "group", "non-ascii", "surrogate")
    yield from _named("error-json", "errors.handler", names, settings=_LOG_SETTINGS["json"])


def _contexts() -> Iterator[Case]:
    yield from _named("context", "context_facts.handler", context_facts.FACTS)
    for name, given in _CLIENT_CONTEXTS.items():
        headers = {"X-Amz-Client-Context": base64.b64encode(given).decode()}
        events = (b'"client-context"', b'"client-representation"', b'"w3c"')
        yield Case(f"client-context-{name}", "context_facts.handler", events, headers)


def _environment() -> Iterator[Case]:
    return _named("environment", "environment.handler", environment.FACTS)


def _output() -> Iterator[Case]:
    # The second invocation shows that the first kept no output back.
    for name in output.OUTPUT:
        event = json.dumps(name).encode()
        yield Case(f"output-{name}", "output.handler", (event, b'"print"'))


def _logging() -> Iterator[Case]:
    for name, settings in _LOG_SETTINGS.items():
        names = [*logging_records.RECORDS, "raise"] if name in ("text", "json") else _LEVEL_RECORDS
        yield from _named(f"log-{name}", "logging_records.handler", names, settings=settings)


def _forms() -> Iterator[Case]:
    for handler in _FORMS:
        yield Case(f"form-{handler.replace('/', '-')}", handler, (b'"one"', b'"two"'))


def _init() -> Iterator[Case]:
    for name, handler in _INIT.items():
        yield Case(f"init-{name}", handler, (b"{}", b"{}"))
    for name in ("module-missing", "syntax", "raises", "raises-chained"):
        settings = _LOG_SETTINGS["json"]
        yield Case(f"init-json-{name}", _INIT[name], (b"{}",), settings=settings)


def _hostile() -> Iterator[Case]:
    # Each case has a separate process, so that none affects the next.
    short = {"sleeps-past-timeout", "spins-past-timeout", "sockets-closed"}
    # These cases need longer than the time in which a process must end here.
    endless = {"exit-beside-thread", "exit-with-endless-atexit"}
    for name in hostile.HOSTILE:
        yield Case(
            f"hostile-{name}",
            "hostile.handler",
            (b'"alive"', json.dumps(name).encode(), b'"alive"'),
            settings=_timeout("1" if name in short else "4" if name in endless else None),
            alone=True,
        )


def _timeout(seconds: str | None) -> tuple[tuple[str, str], ...]:
    return (("AWS_LAMBDA_FUNCTION_TIMEOUT", seconds),) if seconds else ()


def again(but: Iterable[str] = (), *, alone: bool = False) -> list[ParameterSet]:
    """The cases for a layer or an image, as parameters. A checkout has passed all cases before.

    Cases that add little there are marked ``long``. The list has no IDs in ``but``, and with
    ``alone`` no cases that share a process.
    """
    short = _short()
    return [
        pytest.param(case, id=case.id, marks=[] if case.id in short else [pytest.mark.long])
        for case in all_cases()
        if case.id not in but and (case.alone or not alone)
    ]


_SLOW = {
    f"hostile-{name}"
    for name in ("exit-beside-thread", "exit-with-endless-atexit", "prints-without-end")
}


def _short() -> set[str]:
    """The IDs of the cases whose result may differ in a layer or an image.

    They are one case of each function, and all cases that depend on more than the interpreter: the
    environment, output, processes that end. Three of these take many seconds.
    """
    around = ("environment-", "output-", "hostile-")
    firsts = {(case.handler, case.settings): case.id for case in reversed(all_cases())}
    found = {case.id for case in all_cases() if case.id.startswith(around)} | {*firsts.values()}
    return found - _SLOW


def by_id() -> Mapping[str, Case]:
    """The cases by their unique IDs."""
    return {case.id: case for case in all_cases()}
