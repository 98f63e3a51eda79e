"""Extensions: programs that run beside the function, and receive its events and its telemetry.

An external extension is an executable in ``/opt/extensions``::

    from lambda_runtime.extensions import Extension

    extension = Extension()

    @extension.on_invoke
    def invoked(event):
        print("invoked", event.request_id)

    extension.run()

An internal extension (``InternalExtension``) is a thread of the runtime's process. This package
loads each of its names on first use.

Source: "Augment Lambda functions using Lambda extensions" in the AWS Lambda Developer Guide.
"""

_MODULES = {
    "Extension": "external",
    "ExtensionError": "client",
    "ExtensionRecord": "records",
    "FunctionRecord": "records",
    "InitReport": "records",
    "InitRuntimeDone": "records",
    "InitStart": "records",
    "InternalExtension": "internal",
    "Invoke": "events",
    "Listener": "listener",
    "LogsDropped": "records",
    "Record": "records",
    "Registration": "events",
    "Report": "records",
    "RuntimeDone": "records",
    "Shutdown": "events",
    "Start": "records",
    "Subscription": "subscription",
}

__all__ = [
    "Extension",
    "ExtensionError",
    "ExtensionRecord",
    "FunctionRecord",
    "InitReport",
    "InitRuntimeDone",
    "InitStart",
    "InternalExtension",
    "Invoke",
    "Listener",
    "LogsDropped",
    "Record",
    "Registration",
    "Report",
    "RuntimeDone",
    "Shutdown",
    "Start",
    "Subscription",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.extensions.client import ExtensionError
    from lambda_runtime.extensions.events import Invoke, Registration, Shutdown
    from lambda_runtime.extensions.external import Extension
    from lambda_runtime.extensions.internal import InternalExtension
    from lambda_runtime.extensions.listener import Listener
    from lambda_runtime.extensions.records import (
        ExtensionRecord,
        FunctionRecord,
        InitReport,
        InitRuntimeDone,
        InitStart,
        LogsDropped,
        Record,
        Report,
        RuntimeDone,
        Start,
    )
    from lambda_runtime.extensions.subscription import Subscription


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'lambda_runtime.extensions' has no attribute {name!r}")
    import sys

    module = f"{__name__}.{module}"
    __import__(module)
    value = globals()[name] = getattr(sys.modules[module], name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
