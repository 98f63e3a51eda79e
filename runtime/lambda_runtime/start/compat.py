"""Provides the parts of awslambdaric that libraries import, from this runtime's own parts.

``awslambdaric.bootstrap`` is ``lambda_runtime.loop`` itself: a library that replaces a name in one
replaces it in the other. The runtime ignores a copy of awslambdaric in the deployment package, as
that copy could not reach the invocations.
"""

import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType

from lambda_runtime import context, handlers, payload
from lambda_runtime.ground.faults import FaultException
from lambda_runtime.runtime_api import client

VERSION = "4.2.2"
"""The version of awslambdaric with this surface."""


class LambdaMarshaller:
    """awslambdaric's marshaller, for subclasses: the methods are ``payload``'s functions."""

    unmarshal_request = staticmethod(payload.unmarshal_request)
    marshal_response = staticmethod(payload.marshal_response)


def to_json(value: object) -> str:
    """The value as JSON text."""
    return payload.encode(value).decode()


_MODULES: dict[str, dict[str, object]] = {
    "lambda_context": {
        name: getattr(context, name)
        for name in ("LambdaContext", "ClientContext", "Client", "CognitoIdentity")
    },
    "lambda_runtime_client": {
        "BaseLambdaRuntimeClient": client.BaseLambdaRuntimeClient,
        "LambdaRuntimeClient": client.LambdaRuntimeClient,
        "LambdaRuntimeClientError": client.RuntimeApiError,
    },
    "lambda_runtime_exception": {"FaultException": FaultException},
    "lambda_runtime_marshaller": {"LambdaMarshaller": LambdaMarshaller, "to_json": to_json},
}

_BOOTSTRAP: dict[str, object] = {
    "_get_handler": handlers.resolve,
    "FaultException": FaultException,
    "to_json": to_json,
}


def attribute(name: str) -> object:
    """A name of awslambdaric.bootstrap that ``loop`` does not have. Raises AttributeError."""
    if name == "LambdaLoggerHandler":
        from lambda_runtime.logs.handlers import LambdaLoggerHandler

        return LambdaLoggerHandler
    try:
        return _BOOTSTRAP[name]
    except KeyError:
        raise AttributeError(f"module 'lambda_runtime.loop' has no attribute {name!r}") from None


def spec() -> ModuleSpec:
    """The spec that makes the package ``awslambdaric`` and its submodules."""
    made = ModuleSpec("awslambdaric", _PackageLoader(), is_package=True)
    made.submodule_search_locations = []
    return made


def alias_spec(name: str, home: str) -> ModuleSpec:
    """The spec of an alias: a name that stands for the runtime's module ``home``."""
    return ModuleSpec(name, _AliasLoader(home))


class _PackageLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__version__"] = VERSION
        for name, attributes in _MODULES.items():
            part = ModuleType(f"awslambdaric.{name}")
            vars(part).update(attributes)
            _add(module, name, part)
        _add(module, "bootstrap", sys.modules["lambda_runtime.loop"])


def _add(package: ModuleType, name: str, part: ModuleType) -> None:
    sys.modules[f"awslambdaric.{name}"] = part
    setattr(package, name, part)


class _AliasLoader(Loader):
    def __init__(self, home: str) -> None:
        self._home = home

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return ModuleType(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        __import__(self._home)
        # The import statement returns the module that sys.modules has after the loader's work.
        sys.modules[module.__name__] = sys.modules[self._home]
