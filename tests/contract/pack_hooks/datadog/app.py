import ddtrace.auto  # noqa: F401
import requests
from ddtrace.internal.module import ModuleWatchdog


def handler(event, context):
    import sys

    wrapped = type(requests.Session.send).__name__
    return [wrapped, ModuleWatchdog.is_installed(), type(sys.meta_path[0]).__name__]
