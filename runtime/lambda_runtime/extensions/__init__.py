"""Extensions: programs beside the function that follow its life and see its telemetry.

An external one is an executable in ``/opt/extensions``::

    from lambda_runtime.extensions import Extension

    extension = Extension()

    @extension.on_invoke
    def invoked(event):
        print("invoked", event.request_id)

    extension.run()

An internal one (``InternalExtension``) is a thread of the runtime's process. What is named here is
loaded when it is first used. Source: "Augment Lambda functions using Lambda extensions" in the AWS
Lambda Developer Guide.
"""

_NAMES = {
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
    home = _NAMES.get(name)
    if home is None:
        raise AttributeError(f"module 'lambda_runtime.extensions' has no attribute {name!r}")
    import sys

    home = f"{__name__}.{home}"
    __import__(home)
    value = globals()[name] = getattr(sys.modules[home], name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
