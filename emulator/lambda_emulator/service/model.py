"""The API's model, as botocore ships it: operations, what they take, and what they answer.

Requests are in AWS's protocol rest-json: members of the input are in the path, the query, headers
or the JSON body, as the model says.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from botocore.loaders import Loader  # type: ignore[import-untyped]
from botocore.model import OperationModel, ServiceModel, Shape  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]

from lambda_emulator import strict_json
from lambda_emulator.apis.errors import ApiError

Document = dict[str, Any]
_LABEL = re.compile(r"\{(\w+)(\+?)\}")
_MOST_SHOWN = 100


@dataclass(frozen=True)
class Route:
    """Where an operation is: its method, a pattern of its path, and the query it must have."""

    method: str
    path: re.Pattern[str]
    query: frozenset[tuple[str, str]]
    operation: OperationModel


class Answer(dict[str, Any]):
    """The members of an operation's answer; ``status`` is None for the model's own."""

    status: int | None = None


class Model:
    """The operations of the Lambda API."""

    def __init__(self) -> None:
        service = ServiceModel(Loader().load_service_model("lambda", "service-2"))
        self.operations = {name: service.operation_model(name) for name in service.operation_names}
        self._errors = {shape.error_code: shape for shape in service.error_shapes}
        routes = [_route(operation) for operation in self.operations.values()]
        # Those that ask for more of the query come first, and words before labels.
        self._routes = sorted(
            routes, key=lambda route: (-len(route.query), route.path.groups, -len(str(route.path)))
        )

    def find(self, method: str, path: str, query: str) -> tuple[OperationModel, dict[str, str]]:
        """The operation of a request and the labels in its path. Raises ApiError."""
        path = path.rstrip("/")
        pairs = set(parse_qsl(query, keep_blank_values=True)) if query else set()
        known_path = False
        for route in self._routes:
            match = route.path.fullmatch(path)
            if match is None:
                continue
            known_path = True
            if route.method == method and route.query <= pairs:
                return route.operation, {k: unquote(v) for k, v in match.groupdict().items()}
        if known_path:
            text = f"{method} is none of the Lambda API's operations at {path}"
            raise ApiError(405, "MethodNotAllowedException", text)
        text = f"{method} {path[:_MOST_SHOWN]} is no operation of the Lambda API"
        raise ApiError(404, "UnknownOperationException", text)

    def status_of(self, error: str) -> int | None:
        """The HTTP status of an error, None if the model has no such error."""
        shape = self._errors.get(error)
        return None if shape is None else int(shape.metadata["error"]["httpStatusCode"])

    def read(
        self,
        operation: OperationModel,
        labels: Mapping[str, str],
        query: str,
        header: Callable[[str], str | None],
        body: bytes,
    ) -> Document:
        """The members of a request's input as they are in JSON. Raises ApiError."""
        shape = operation.input_shape
        if shape is None:
            return {}
        document = _body(body) if _has_body(shape) else {}
        values: Document = {}
        pairs = parse_qsl(query, keep_blank_values=True)
        for name, member in shape.members.items():
            location = member.serialization.get("location")
            wire = member.serialization.get("name", name)
            if location is None:
                raw = document.get(wire)
            elif location == "uri":
                raw = labels.get(wire)
            elif location == "querystring":
                found = [value for key, value in pairs if key == wire]
                raw = found if member.type_name == "list" else (found[-1] if found else None)
                raw = raw or None
            else:
                raw = header(wire)
            if raw is not None:
                values[name] = raw if location is None else _read(member, raw, name, text=True)
        return values

    def check(self, name: str, document: Mapping[str, Any], *, text: bool = False) -> Document:
        """The members of an operation's input that the model knows, checked. Raises ApiError.

        With ``text`` numbers and booleans may be strings, and the other way round, as in templates.
        """
        shape = self.operations[name].input_shape
        if shape is None:
            return {}
        values = {
            key: _read(member, document[key], key, text=text)
            for key, member in shape.members.items()
            if document.get(key) is not None
        }
        _check(shape, values)
        return values

    def write(self, operation: OperationModel, answer: Mapping[str, Any]) -> tuple[int, bytes]:
        """Status and body of an answer.

        Raises TypeError for an answer that does not fit the model.
        """
        status = getattr(answer, "status", None) or int(operation.http.get("responseCode", 200))
        shape = operation.output_shape
        if shape is None or status == 204:
            return status, b""
        document = {
            name: value
            for name, value in _write(shape, answer, operation.name).items()
            if shape.members[name].serialization.get("location") != "statusCode"
        }
        return status, json.dumps(document).encode()


def _route(operation: OperationModel) -> Route:
    path, _, query = operation.http["requestUri"].partition("?")
    # An ARN in a path is sent with its slashes and colons escaped, by some clients as they are.
    pattern = _LABEL.sub(lambda label: f"(?P<{label[1]}>[^/]+{'(?:/[^/]+)*' * bool(label[2])})",
                         path.rstrip("/"))  # fmt: skip
    pairs = frozenset(parse_qsl(query, keep_blank_values=True))
    return Route(operation.http["method"], re.compile(pattern), pairs, operation)


def _has_body(shape: Shape) -> bool:
    return any("location" not in member.serialization for member in shape.members.values())


def _body(body: bytes) -> Document:
    if not body:
        return {}
    try:
        document = strict_json.decode(body)
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise ApiError(400, "SerializationException", text) from error
    if not isinstance(document, dict):
        text = "Could not parse request body into json: it is no object"
        raise ApiError(400, "SerializationException", text)
    return document


# reading


def _read(shape: Shape, raw: Any, path: str, *, text: bool = False) -> Any:
    """A value of the wire as one of the shape; what the model does not know is left out."""
    kind = shape.type_name
    if kind == "structure":
        _expect(isinstance(raw, dict), path, "an object", raw)
        return {
            name: _read(member, raw[wire], f"{path}.{name}", text=text)
            for name, member in shape.members.items()
            if raw.get(wire := member.serialization.get("name", name)) is not None
        }
    if kind == "list":
        _expect(isinstance(raw, list), path, "a list", raw)
        return [_read(shape.member, one, f"{path}[{at}]", text=text) for at, one in enumerate(raw)]
    if kind == "map":
        _expect(isinstance(raw, dict), path, "an object", raw)
        return {
            key: _read(shape.value, one, f"{path}.{key}", text=text) for key, one in raw.items()
        }
    return _read_scalar(kind, raw, path, text=text)


_WORDS = ("true", "false")


def _read_scalar(kind: str, raw: Any, path: str, *, text: bool) -> Any:
    if kind == "boolean":
        raw = {"true": True, "false": False}[raw] if text and raw in _WORDS else raw
        _expect(isinstance(raw, bool), path, "true or false", raw)
        return raw
    if kind in ("integer", "long", "float", "double"):
        return _number(kind, raw, path, text=text)
    if kind == "timestamp":
        return _timestamp(raw, path)
    if text and isinstance(raw, bool | int | float):
        raw = json.dumps(raw)
    _expect(isinstance(raw, str), path, "a string", raw)
    if kind == "blob":
        try:
            return base64.b64decode(raw, validate=True)
        except (binascii.Error, ValueError):
            _expect(False, path, "base64", raw)
    return raw


def _number(kind: str, raw: Any, path: str, *, text: bool) -> int | float:
    whole = kind in ("integer", "long")
    if text and isinstance(raw, str):
        try:
            raw = int(raw) if whole else float(raw)
        except ValueError:
            _expect(False, path, "a number", raw)
    fits = isinstance(raw, int) if whole else isinstance(raw, int | float)
    _expect(fits and not isinstance(raw, bool), path, "a number", raw)
    number: int | float = raw
    return number


def _timestamp(raw: Any, path: str) -> float:
    """Unix time in seconds."""
    try:
        return float(raw)
    except (TypeError, ValueError):
        pass
    try:
        return datetime.fromisoformat(str(raw)).timestamp()
    except ValueError:
        _expect(False, path, "a time", raw)
        raise


def _expect(good: bool, path: str, what: str, raw: Any) -> None:
    if not good:
        text = f"{path}: {str(raw)[:_MOST_SHOWN]!r} is not {what}"
        raise ApiError(400, "SerializationException", text)


# checking


def _check(shape: Shape, values: Document) -> None:
    """Raise ApiError unless the values satisfy all that the model says of them."""
    report = ParamValidator().validate(_with_times(shape, values), shape)
    errors = [line for line in report.generate_report().splitlines() if line.strip()]
    errors += list(_constraints(shape, values, ""))
    if errors:
        plural = "s" if len(errors) > 1 else ""
        text = f"{len(errors)} validation error{plural} detected: {'; '.join(errors)}"
        raise ApiError(400, "ValidationException", text)


def _with_times(shape: Shape, value: Any) -> Any:
    """The same values with datetimes, as botocore's validator wants them."""
    if shape.type_name == "timestamp":
        return datetime.fromtimestamp(value)
    if shape.type_name == "structure":
        return {name: _with_times(shape.members[name], one) for name, one in value.items()}
    return value


def _constraints(shape: Shape, value: Any, path: str) -> list[str]:
    """What botocore leaves to the service: values of enumerations, and patterns."""
    kind = shape.type_name
    if kind == "structure":
        parts = [(shape.members[name], one, f"{path}.{name}") for name, one in value.items()]
    elif kind == "list":
        parts = [(shape.member, one, f"{path}[{at}]") for at, one in enumerate(value)]
    elif kind == "map":
        parts = [(shape.value, one, f"{path}.{key}") for key, one in value.items()]
    else:
        return _constraint(shape, value, path.lstrip(".")) if kind == "string" else []
    return [error for part in parts for error in _constraints(*part)]


def _constraint(shape: Shape, value: str, path: str) -> list[str]:
    allowed = shape.metadata.get("enum")
    pattern = shape.metadata.get("pattern")
    if allowed and value not in allowed:
        what = f"Member must satisfy enum value set: [{', '.join(allowed)}]"
    elif pattern and not _matches(pattern, value):
        what = f"Member must satisfy regular expression pattern: {pattern}"
    elif not shape.metadata.get("min", 0) <= len(value) <= shape.metadata.get("max", len(value)):
        what = f"Member must have length at most {shape.metadata.get('max')}"
    else:
        return []
    return [f"Value {value[:_MOST_SHOWN]!r} at {path!r} failed to satisfy constraint: {what}"]


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:  # a construct of Java's
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


# writing

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "boolean": (bool,),
    "timestamp": (int, float),
    "blob": (bytes,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list, tuple),
}


def _write(shape: Shape, value: Any, path: str) -> Any:
    """A value of the shape as one of the wire; members that the model does not know are ours."""
    kind = shape.type_name
    _expect_kind(kind, value, path)
    if kind == "structure":
        return {
            name: _write(member, value[name], f"{path}.{name}")
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if kind == "list":
        return [_write(shape.member, one, path) for one in value]
    if kind == "map":
        return {key: _write(shape.value, one, f"{path}.{key}") for key, one in value.items()}
    return base64.b64encode(value).decode("ascii") if kind == "blob" else value


def _expect_kind(kind: str, value: Any, path: str) -> None:
    if not isinstance(value, _KINDS[kind]):
        raise TypeError(f"{path}: {value!r} is not a {kind}")
