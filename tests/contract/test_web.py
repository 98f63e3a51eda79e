"""Web applications as handlers, compared with what their usual servers answer."""

from __future__ import annotations

import json
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lambda_emulator.threaded import ThreadedEmulator
from support.hand_fed import hand_fed, seconds_to
from support.http_events import (
    EVENTS,
    REQUEST_AUTHORIZERS,
    HttpAnswer,
    HttpRequest,
    authorizer,
    function_url,
    http_api_2,
    load_balancer,
    read_answer,
    rest_api,
    websocket,
)
from support.paths import ROOT
from support.reference import SAME_ORDER, ReferenceServer, reference_server
from support.waiting import give_three_chances

APPS = Path(__file__).parent / "web_apps"

INTERFACES = {
    "fastapi_app.app": "asgi",
    "starlette_app.app": "asgi",
    "django_apps.asgi": "asgi",
    "quart_app.app": "asgi",
    "litestar_app.app": "asgi",
    "flask_app.app": "wsgi",
    "django_apps.wsgi": "wsgi",
    "bottle_app.app": "wsgi",
}


def start(handler: str, **arguments: Any) -> ThreadedEmulator:
    # The `Host` of every request is allowed.
    defaults = {"allowed_hosts": ["example.com"], "task_root": APPS, "timeout": 20}
    given: dict[str, Any] = {**defaults, "init_timeout": 30, **arguments}
    return ThreadedEmulator(
        command=[sys.executable, "-S", str(ROOT / "bootstrap"), handler],
        handler=handler,
        **given,
    )


class Function:
    """An application behind the emulator."""

    def __init__(self, emulator: ThreadedEmulator) -> None:
        self.emulator = emulator

    def invoke(self, event: Any) -> Any:
        reply = self.emulator.invoke(event)
        assert reply.function_error is None, reply.payload
        assert not reply.streamed
        return reply.json()

    def ask(self, request: HttpRequest, source: str) -> HttpAnswer:
        """The request through the front door, function URLs by HTTP and the others as an event."""
        if source == "function url":
            return self.by_url(request)
        return read_answer(self.invoke(EVENTS[source](request)))

    def by_url(self, request: HttpRequest) -> HttpAnswer:
        server = ReferenceServer(self.emulator.function_url.rstrip("/"))
        try:
            return server(request)
        finally:
            server.close()

    def error(self, event: Any) -> dict[str, Any]:
        reply = self.emulator.invoke(event)
        assert reply.function_error is not None, reply.payload
        error: dict[str, Any] = reply.json()
        return error

    def get(self, target: str) -> Any:
        answer = read_answer(self.invoke(rest_api(HttpRequest("GET", target))))
        assert answer.status == 200, answer
        return json.loads(answer.body)


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[str, tuple[Function, ReferenceServer]]]:
    """Applications by name, started when first asked for: behind the emulator, and served."""
    with Pairs() as pairs:
        yield pairs


class Pairs(dict[str, "tuple[Function, ReferenceServer]"]):
    def __init__(self) -> None:
        self._open: list[Any] = []

    def __enter__(self) -> Pairs:
        return self

    def __missing__(self, name: str) -> tuple[Function, ReferenceServer]:
        emulator = start(name, environment=SAME_ORDER)
        server = reference_server(INTERFACES[name], name.replace(".", ":"), APPS)
        self[name] = Function(emulator.__enter__()), server.__enter__()
        self._open += [emulator, server]
        return self[name]

    def __exit__(self, *_: object) -> None:
        for opened in self._open:
            opened.__exit__(None, None, None)


@pytest.fixture
def run() -> Iterator[Any]:
    """`run(handler, **arguments)` puts an application behind an emulator for one test."""
    emulators: list[ThreadedEmulator] = []

    def begin(handler: str, **arguments: Any) -> Function:
        emulator = start(handler, **arguments)
        emulators.append(emulator.__enter__())
        return Function(emulators[-1])

    yield begin
    for emulator in emulators:
        emulator.__exit__(None, None, None)


def normal(answer: HttpAnswer) -> tuple[int, dict[str, list[str]], bytes]:
    """An answer with repeated headers joined, as some front doors cannot but do."""
    headers: dict[str, list[str]] = {}
    for name, value in answer.headers:
        name = name.lower()
        if name == "set-cookie" or name not in headers:
            headers.setdefault(name, []).append(value)
        else:
            headers[name] = [f"{headers[name][0]}, {value}"]
    headers.get("set-cookie", []).sort()
    return answer.status, headers, answer.body


def assert_same(ours: HttpAnswer, theirs: HttpAnswer, request: HttpRequest) -> None:
    framing = {"content-length", "connection", "date", "server", "transfer-encoding"}
    mine, reference = normal(ours), normal(theirs)
    what = f"{request.method} {request.target}"
    assert (what, mine[0], mine[2]) == (what, reference[0], reference[2])
    for headers in (mine[1], reference[1]):
        lengths = headers.pop("content-length", None)
        if lengths and request.method != "HEAD" and mine[0] != 304:
            assert lengths == [str(len(mine[2]))]
        for name in framing:
            headers.pop(name, None)
    assert (what, mine[1]) == (what, reference[1])


JSON = ("content-type", "application/json")
TEXT = ("content-type", "text/plain; charset=utf-8")
OCTETS = ("content-type", "application/octet-stream")

EVERYWHERE = [
    HttpRequest("GET", "/hello"),
    HttpRequest("GET", "/hello?name=Zo%C3%AB%20%26%20co%2B&empty="),
    HttpRequest("GET", "/paths/a%20b/%C3%BC/100%25d"),
    HttpRequest("POST", "/echo", [JSON], b'{"n": [1, 2]}'),
    HttpRequest("POST", "/echo", [TEXT], "grün ✓".encode()),
    HttpRequest("POST", "/echo", [OCTETS], bytes(range(256)) * 20),
    HttpRequest("POST", "/echo", [OCTETS]),
    HttpRequest("GET", "/cookies", [("cookie", "a=1; b=two")]),
    HttpRequest("GET", "/stream"),
    HttpRequest("GET", "/error"),
    HttpRequest("GET", "/missing"),
    HttpRequest("DELETE", "/hello"),
]


@pytest.mark.parametrize("source", EVENTS)
@pytest.mark.parametrize("name", INTERFACES)
def test_same_answers_as_the_usual_server(pairs: Pairs, name: str, source: str) -> None:
    function, server = pairs[name]
    for request in EVERYWHERE:
        assert_same(function.ask(request, source), server(request), request)


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nvalue\r\n'
    b'--x\r\nContent-Disposition: form-data; name="upload"; filename="f.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(256)) + b"\r\n--x--\r\n"
)
FORM = [("content-type", "multipart/form-data; boundary=x")]
WHOLE = ("accept-encoding", "gzip")

ITS_OWN = {
    "fastapi_app.app": [
        HttpRequest("GET", "/sync?number=21"),
        HttpRequest("GET", "/sync?number=x"),
        HttpRequest("POST", "/items", [JSON], b'{"name": "n", "price": 1.5}'),
        HttpRequest("POST", "/items", [JSON], b'{"name": 1}'),
        HttpRequest("POST", "/items", [JSON], b"not json"),
        HttpRequest("POST", "/form", FORM, MULTIPART),
        HttpRequest("GET", "/binary"),
        HttpRequest("GET", "/latin"),
        HttpRequest("GET", "/encoded"),
        HttpRequest("GET", "/empty"),
        HttpRequest("GET", "/redirect"),
        HttpRequest("GET", "/hello/"),
        HttpRequest("GET", "/file"),
        HttpRequest("GET", "/file", [("range", "bytes=10-19")]),
        HttpRequest("GET", "/openapi.json"),
        HttpRequest("GET", "/docs"),
        HttpRequest("HEAD", "/echo"),
        HttpRequest("OPTIONS", "/echo"),
        HttpRequest("PATCH", "/echo", [JSON], b"1"),
        HttpRequest("GET", "/background"),
        HttpRequest("GET", "/events"),
    ],
    "starlette_app.app": [
        HttpRequest("GET", "/large", [WHOLE]),
        HttpRequest("GET", "/stream", [WHOLE]),
        HttpRequest("GET", "/mounted/inner"),
        HttpRequest("HEAD", "/hello"),
    ],
    "django_apps.asgi": [HttpRequest("POST", "/form", FORM, MULTIPART)],
    "django_apps.wsgi": [HttpRequest("POST", "/form", FORM, MULTIPART)],
    "flask_app.app": [
        HttpRequest("POST", "/form", FORM, MULTIPART),
        HttpRequest("GET", "/redirect"),
        HttpRequest("GET", "/binary"),
        HttpRequest("HEAD", "/hello"),
        HttpRequest("OPTIONS", "/hello"),
    ],
}
SEVERAL = {
    "fastapi_app.app": HttpRequest("GET", "/many?q=1&q=two&q=%26"),
    "flask_app.app": HttpRequest("GET", "/many?q=1&q=two&q=%26"),
}


@pytest.mark.parametrize("source", EVENTS)
@pytest.mark.parametrize("name", ITS_OWN)
def test_same_answers_for_its_own_routes(pairs: Pairs, name: str, source: str) -> None:
    function, server = pairs[name]
    for request in ITS_OWN[name]:
        ours, theirs = function.ask(request, source), server(request)
        if source == "function url" and not theirs.values("content-type"):
            ours.headers.remove(("content-type", "application/json"))  # added by the front door
        assert_same(ours, theirs, request)
    # Without multi-value headers a load balancer itself drops all but the last value.
    if name in SEVERAL and source not in ("load balancer", "lattice"):
        assert_same(function.ask(SEVERAL[name], source), server(SEVERAL[name]), SEVERAL[name])


# What an application learns of Lambda


@pytest.mark.parametrize("source", EVENTS)
def test_scope(pairs: Pairs, source: str) -> None:
    function, _ = pairs["fastapi_app.app"]
    event = EVENTS[source](HttpRequest("GET", "/scope?x=1"))
    seen = json.loads(read_answer(function.invoke(event)).body)
    assert seen["client"] == "203.0.113.7"
    assert seen["event"] == event
    assert len(seen["request_id"]) == 36
    assert seen["url"] == "http://example.com/scope?x=1"


@pytest.mark.parametrize("source", EVENTS)
def test_environ(pairs: Pairs, source: str) -> None:
    function, _ = pairs["flask_app.app"]
    event = EVENTS[source](HttpRequest("GET", "/environ?x=1"))
    seen = json.loads(read_answer(function.invoke(event)).body)
    assert seen["client"] == "203.0.113.7"
    assert seen["event"] == event
    assert len(seen["request_id"]) == 36
    assert seen["url"] == "http://example.com/environ?x=1"


def test_stage_is_the_root_path(pairs: Pairs) -> None:
    domain = "id.execute-api.us-east-1.amazonaws.com"
    request = HttpRequest("GET", "/scope")
    for event in (rest_api(request, "prod", domain), http_api_2(request, "prod", domain)):
        seen = json.loads(read_answer(pairs["fastapi_app.app"][0].invoke(event)).body)
        assert (seen["root_path"], seen["path"]) == ("/prod", "/prod/scope")
        assert seen["url_for"] == "http://example.com/prod/hello"


def test_base_path(run: Any) -> None:
    environment = {"LAMBDA_RUNTIME_BASE_PATH": "v1/"}
    fastapi = run("fastapi_app.app", environment=environment)
    request = HttpRequest("GET", "/v1/scope")
    for event in (rest_api(request), http_api_2(request), load_balancer(request)):
        seen = json.loads(read_answer(fastapi.invoke(event)).body)
        assert (seen["root_path"], seen["path"]) == ("/v1", "/v1/scope")
        assert seen["url_for"] == "http://example.com/v1/hello"
    flask = run("flask_app.app", environment=environment)
    event = rest_api(HttpRequest("GET", "/v1/environ"))
    seen = json.loads(read_answer(flask.invoke(event)).body)
    assert (seen["script_name"], seen["path_info"]) == ("/v1", "/environ")
    assert seen["url"] == "http://example.com/v1/environ"


@pytest.mark.parametrize("name", ["django_apps.asgi", "django_apps.wsgi"])
def test_django_under_a_stage(pairs: Pairs, name: str) -> None:
    domain = "id.execute-api.us-east-1.amazonaws.com"
    event = rest_api(HttpRequest("GET", "/where"), "prod", domain)
    seen = json.loads(read_answer(pairs[name][0].invoke(event)).body)
    assert seen == {"url": "http://example.com/prod/where", "path_info": "/where"}


# Which callables are web applications


@pytest.mark.parametrize(
    "form",
    ["function", "object", "slot", "returning", "partial"],
)
def test_asgi_forms(run: Any, form: str) -> None:
    function = run(f"plain_apps.asgi_{form}")
    answer = read_answer(function.invoke(rest_api(HttpRequest())))
    assert answer.body == form.encode()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("asgi_wrapped", b"function"),
        ("asgi_method", b"object"),
        ("wsgi_function", b"function"),
        ("WsgiClass", b"class"),
        ("wsgi_writing", b"writing"),
    ],
)
def test_other_forms(run: Any, name: str, body: bytes) -> None:
    function = run(f"plain_apps.{name}")
    assert read_answer(function.invoke(rest_api(HttpRequest()))).body == body


@pytest.mark.parametrize(("name", "key"), [("chalice_like", "plain"), ("async_handler", "async")])
def test_handlers_that_are_objects_stay_handlers(run: Any, name: str, key: str) -> None:
    assert run(f"plain_apps.{name}").invoke([1]) == {key: [1]}


def test_asgi_2_is_refused(run: Any) -> None:
    error = run("plain_apps.asgi2").error({})
    assert error["errorType"] == "Runtime.UnsupportedWebApplication"
    assert "asgi2 takes only a scope" in error["errorMessage"]
    assert "guarantee_single_callable" in error["errorMessage"]


# Lifespan


def test_startup_runs_once(run: Any) -> None:
    function = run("fastapi_app.app")
    first, second = function.get("/happened"), function.get("/happened")
    assert first == second == {"happened": ["startup"], "pool": "open"}


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("fails_to_start", "Runtime.LifespanStartupFailed", "no database"),
        ("raises_at_start", "ConnectionError", "no database at db:5432"),
    ],
)
def test_failing_startup_is_an_init_error(run: Any, name: str, kind: str, message: str) -> None:
    function = run(f"plain_apps.{name}")
    error = function.error(rest_api(HttpRequest()))
    assert error["errorType"] == kind
    assert message in error["errorMessage"]
    assert "LAMBDA_WARNING" in function.emulator.logs()


def test_the_end_of_the_process_is_the_shutdown(run: Any) -> None:
    environment = {"LAMBDA_RUNTIME_EVENT_HANDLER": "plain_apps.leave"}
    function = run("fastapi_app.app", environment=environment)
    function.error({"leave": True})
    assert function.get("/hello") == {"hello": "world"}  # of the next process
    assert "shutdown seen" in function.emulator.logs()


# Events that are not HTTP

QUEUE = {"Records": [{"eventSource": "aws:sqs", "body": "x"}, {"eventSource": "aws:sqs"}]}


def test_other_events_go_to_the_handler_named(run: Any) -> None:
    environment = {"LAMBDA_RUNTIME_EVENT_HANDLER": "fastapi_app.on_event"}
    function = run("fastapi_app.app", environment=environment)
    assert function.invoke(QUEUE) == {"records": 2}
    assert function.get("/hello") == {"hello": "world"}
    environment = {"LAMBDA_RUNTIME_EVENT_HANDLER": "plain_apps.on_event"}
    assert run("flask_app.app", environment=environment).invoke([1]) == {"seen": [1]}


@pytest.mark.parametrize(
    ("event", "look"),
    [
        (QUEUE, "from aws:sqs"),
        ({"source": "aws.events", "detail": {}}, "from aws.events"),
        ({"a": 1, "b": 2}, "with the keys a, b"),
        ({}, "an empty object"),
        ([1], "list"),
    ],
)
def test_other_events_without_one_are_an_error(pairs: Pairs, event: Any, look: str) -> None:
    error = pairs["flask_app.app"][0].error(event)
    assert error["errorType"] == "Runtime.NotAnHttpEvent"
    assert f"this event ({look}) is not an HTTP request" in error["errorMessage"]
    assert "LAMBDA_RUNTIME_EVENT_HANDLER=module.function" in error["errorMessage"]


@pytest.mark.parametrize("kind", ["token", *REQUEST_AUTHORIZERS])
@pytest.mark.parametrize("name", ["fastapi_app.app", "flask_app.app"])
def test_an_authorizer_is_not_shown_the_page(pairs: Pairs, name: str, kind: str) -> None:
    error = pairs[name][0].error(authorizer(kind))
    assert error["errorType"] == "Runtime.NotAnHttpEvent"
    assert "authorizer, which expects a policy) is not an HTTP request" in error["errorMessage"]
    assert error["errorMessage"].endswith("LAMBDA_RUNTIME_EVENT_HANDLER=module.function")


def test_an_authorizer_may_be_the_event_handler(run: Any) -> None:
    environment = {"LAMBDA_RUNTIME_EVENT_HANDLER": "plain_apps.on_event"}
    function = run("flask_app.app", environment=environment)
    for kind in ("token", *REQUEST_AUTHORIZERS):
        assert function.invoke(authorizer(kind)) == {"seen": authorizer(kind)}


@pytest.mark.parametrize("name", ["fastapi_app.app", "flask_app.app"])
def test_a_request_that_cannot_be_read_is_an_error(pairs: Pairs, name: str) -> None:
    error = pairs[name][0].error(rest_api(HttpRequest()) | {"body": {"a": 1}})
    assert error["errorType"] == "Runtime.MalformedHttpEvent"
    assert "its 'body' is of type dict, and not str" in error["errorMessage"]


def test_an_application_cannot_be_the_event_handler(run: Any) -> None:
    environment = {"LAMBDA_RUNTIME_EVENT_HANDLER": "flask_app.app"}
    error = run("flask_app.app", environment=environment).error({})
    assert error["errorType"] == "Runtime.InvalidSetting"
    assert "is a web application" in error["errorMessage"]


def test_settings_are_checked_in_init(run: Any) -> None:
    for name, value in (("RESPONSE_MODE", "sometimes"), ("WEBSOCKET_PATH", "socket")):
        environment = {f"LAMBDA_RUNTIME_{name}": value}
        error = run("flask_app.app", environment=environment).error({})
        assert error["errorType"] == "Runtime.InvalidSetting"
        assert f"LAMBDA_RUNTIME_{name} is {value!r}" in error["errorMessage"]


def test_websocket_messages_go_to_a_route(run: Any) -> None:
    environment = {"LAMBDA_RUNTIME_WEBSOCKET_PATH": "/socket"}
    function = run("fastapi_app.app", environment=environment)
    for kind, body in (("CONNECT", None), ("MESSAGE", '{"a": 1}'), ("DISCONNECT", None)):
        answer = read_answer(function.invoke(websocket(kind, body)))
        seen = json.loads(answer.body)
        assert seen == {"type": kind, "connection": "abc=", "got": body or ""}


def test_websocket_messages_without_a_route(pairs: Pairs) -> None:
    error = pairs["flask_app.app"][0].error(websocket("MESSAGE", "x"))
    assert "LAMBDA_RUNTIME_WEBSOCKET_PATH=/path" in error["errorMessage"]


# What goes wrong in an application


@pytest.mark.parametrize("path", ["/silent", "/headless"])
def test_incomplete_responses_are_status_500(run: Any, path: str) -> None:
    function = run("plain_apps.incomplete")
    answer = read_answer(function.invoke(rest_api(HttpRequest("GET", path))))
    assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert "RuntimeError" in function.emulator.logs()


@pytest.mark.parametrize("name", ["bad_status", "bad_header", "wsgi_bad_status"])
@pytest.mark.parametrize("source", ["rest api", "function url"])
def test_responses_that_are_none_are_status_500(run: Any, name: str, source: str) -> None:
    function = run(f"plain_apps.{name}")
    for path in ("/whole", "/stream"):
        answer = function.ask(HttpRequest("GET", path), source)
        assert (answer.status, answer.body) == (500, b"Internal Server Error")
    assert "[ERROR]" in function.emulator.logs()


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *(("wsgi_bad_status", way) for way in ("", "processes", "preload", "threads")),
        *(("incomplete", way) for way in ("", "processes", "async")),
    ],
)
def test_the_log_of_a_failure_has_the_request_id(name: str, way: str) -> None:
    environment = {"AWS_LAMBDA_LOG_FORMAT": "JSON"}
    arguments: dict[str, Any] = {}
    if way:
        environment["LAMBDA_RUNTIME_CONCURRENCY"] = way
        arguments["max_concurrency"] = 2
    event = rest_api(HttpRequest("GET", "/silent"))
    with start(f"plain_apps.{name}", environment=environment, **arguments) as emulator:
        pending = [emulator.begin(emulator.emulator.invoke(event)) for _ in range(2)]
        expected = {reply.result(20).request_id for reply in pending}
    lines = [json.loads(line) for line in emulator.logs().splitlines() if line.startswith("{")]
    errors = [line["requestId"] for line in lines if line["level"] == "ERROR"]
    assert set(errors) == expected
    assert len(errors) == 2


def test_background_tasks_end_before_the_environment_may_freeze(run: Any) -> None:
    function = run("fastapi_app.app", freeze=True)
    assert function.get("/background") == {"queued": True}
    assert function.get("/happened")["happened"] == ["startup", "background"]


def test_a_failing_background_task_is_logged(run: Any) -> None:
    function = run("fastapi_app.app")
    assert function.get("/background?fail=true") == {"queued": True}
    assert "ValueError: broken in the background" in function.emulator.logs()


# Streaming


def streamed(function: Function, event: Any) -> bool:
    with function.emulator.stream(event) as stream:
        for _ in stream:
            pass
        assert stream.reply.failure is None
        return stream.reply.streamed


DEFAULT_STREAMS = {source: source == "function url" for source in EVENTS}
ALL_STREAMS = DEFAULT_STREAMS | {"rest api": True}
NONE_STREAMS = dict.fromkeys(EVENTS, False)


@pytest.mark.parametrize("name", ["fastapi_app.app", "flask_app.app"])
@pytest.mark.parametrize(
    ("mode", "expected"),
    [("", DEFAULT_STREAMS), ("streaming", ALL_STREAMS), ("buffered", NONE_STREAMS)],
)
def test_what_streams(run: Any, name: str, mode: str, expected: dict[str, bool]) -> None:
    environment = {"LAMBDA_RUNTIME_RESPONSE_MODE": mode} if mode else {}
    function = run(name, environment=environment)
    for source, build in EVENTS.items():
        stream = streamed(function, build(HttpRequest("GET", "/stream")))
        whole = streamed(function, build(HttpRequest("GET", "/hello")))
        assert (source, stream) == (source, expected[source])
        # A response that is there already streams only when it is asked for.
        assert (source, whole) == (source, expected[source] and mode == "streaming")


@pytest.mark.parametrize("name", ["fastapi_app.app", "flask_app.app"])
def test_an_error_in_a_stream_ends_it(pairs: Pairs, name: str) -> None:
    function, _ = pairs[name]
    with function.emulator.stream(function_url(HttpRequest("GET", "/breaks"))) as stream:
        chunks = b"".join(stream)
        failure = stream.reply.failure
    assert chunks.endswith(b"so far")
    assert failure is not None
    assert failure.error_type == "Function.ValueError"
    answer = read_answer(function.invoke(rest_api(HttpRequest("GET", "/breaks"))))
    # Nothing has left yet, so the client can still be told.
    assert (answer.status, answer.body) == (500, b"Internal Server Error")


def leave_early(function: Function) -> None:
    with function.emulator.stream(function_url(HttpRequest("GET", "/endless"))) as stream:
        assert next(iter(stream))


def test_a_client_that_leaves_is_a_disconnect(run: Any) -> None:
    function = run("fastapi_app.app")
    leave_early(function)
    assert function.get("/happened")["happened"] == ["startup", "stream closed"]


def test_a_client_that_leaves_closes_the_result(run: Any) -> None:
    function = run("flask_app.app")
    leave_early(function)
    assert function.get("/closed") == ["endless"]


def test_events_arrive_one_by_one(pairs: Pairs) -> None:
    function, _ = pairs["fastapi_app.app"]
    url = f"{function.emulator.function_url}events?pause=0.3&count=2"
    arrivals: list[float] = []
    with httpx.stream("GET", url, timeout=20, trust_env=False) as response:
        for _ in response.iter_raw():
            arrivals.append(time.perf_counter())
    assert arrivals[-1] - arrivals[0] > 0.25


def test_time_to_the_first_byte_of_the_runtime_alone(pairs: Pairs) -> None:
    """One hop each: an event by hand to the runtime, a request by hand to uvicorn."""
    _, server = pairs["fastapi_app.app"]
    target = "/events?count=2"
    event = json.dumps(function_url(HttpRequest("GET", target))).encode()
    request = f"GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode()
    port = int(server.url.rpartition(":")[2])
    command = [sys.executable, "-S", str(ROOT / "bootstrap"), "fastapi_app.app"]
    with hand_fed(command, APPS) as runtime, socket.create_connection(("127.0.0.1", port)) as peer:

        def compare() -> None:
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(100):
                runtime.wait()
                ours.append(runtime.first_byte(event, b"data: 0"))
                theirs.append(seconds_to(peer, request, b"data: 0"))
            assert statistics.median(ours) <= 1.5 * statistics.median(theirs)

        give_three_chances(compare)


def test_time_to_the_first_byte_through_the_function_url(pairs: Pairs) -> None:
    """The front door's hop on top, which is nothing beside a function that has work to do."""
    function, server = pairs["fastapi_app.app"]
    with httpx.Client(timeout=20, trust_env=False) as client:

        def compare() -> None:
            ours: list[float] = []
            theirs: list[float] = []
            for _ in range(30):
                ours.append(first_byte(client, function.emulator.function_url.rstrip("/")))
                theirs.append(first_byte(client, server.url))
            assert statistics.median(ours) <= 1.5 * statistics.median(theirs)

        give_three_chances(compare)


def first_byte(client: httpx.Client, url: str) -> float:
    begin = time.perf_counter()
    with client.stream("GET", f"{url}/events?work=0.02&count=2") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        chunks = response.iter_raw()
        assert next(chunks) == b"data: 0\n\n"
        seconds = time.perf_counter() - begin
        assert b"".join(chunks) == b"data: 1\n\n"
    return seconds


# Documentation and examples


def test_the_function_that_the_page_opens_with(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "web.md").read_text()
    (tmp_path / "app.py").write_text(page.split("```python\n")[1].split("```")[0])
    with start("app.app", task_root=tmp_path) as emulator:
        answer = Function(emulator).get("/hello?name=reader")
    assert answer == {"hello": "reader"}


@pytest.mark.parametrize("example", ["web_fastapi", "web_flask"])
def test_examples_answer_their_event(example: str) -> None:
    folder = ROOT / "examples" / example
    with start("app.app", task_root=folder) as emulator:
        answer = read_answer(Function(emulator).invoke((folder / "event.json").read_bytes()))
    assert answer.status == 200
    assert json.loads(answer.body)["hello"] == "Ada"


def test_the_fastapi_example_takes_messages() -> None:
    environment = {"LAMBDA_RUNTIME_EVENT_HANDLER": "app.on_event"}
    folder = ROOT / "examples" / "web_fastapi"
    with start("app.app", task_root=folder, environment=environment) as emulator:
        function = Function(emulator)
        assert function.invoke({"Records": [{"body": "m"}]}) == {"batchItemFailures": []}
        accepted = function.ask(HttpRequest("POST", "/notes?text=n"), "http api 2.0")
        assert accepted.status == 202
        assert function.get("/notes") == ["m", "n"]
        stream = function.ask(HttpRequest("GET", "/countdown?start=2"), "function url")
        assert stream.body == b"data: 2\n\ndata: 1\n\ndata: 0\n\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fastapi_app.app", "asgi"),
        ("starlette_app.app", "asgi"),
        ("flask_app.app", "wsgi"),
    ],
)
def test_only_what_is_needed_is_loaded(name: str, expected: str, tmp_path: Path) -> None:
    module = name.partition(".")[0]
    (tmp_path / "app.py").write_text(
        f"import sys\nsys.path.append({str(APPS)!r})\nfrom {module} import app\n\n\n"
        "def loaded(event, context):\n"
        "    return sorted(name for name in sys.modules if 'lambda_runtime.web.' in name)\n"
    )
    environment = {"LAMBDA_RUNTIME_EVENT_HANDLER": "app.loaded"}
    with start("app.app", task_root=tmp_path, environment=environment) as emulator:
        loaded = Function(emulator).invoke({})
    assert f"lambda_runtime.web.{expected}" in loaded
    assert f"lambda_runtime.web.{'wsgi' if expected == 'asgi' else 'asgi'}" not in loaded


def test_nothing_of_web_is_loaded_for_a_plain_handler(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        "import sys\n\n\ndef handler(event, context):\n"
        "    return sorted(name for name in sys.modules if 'lambda_runtime.web' in name)\n"
    )
    with start("plain.handler", task_root=tmp_path) as emulator:
        assert emulator.invoke({}).json() == []
