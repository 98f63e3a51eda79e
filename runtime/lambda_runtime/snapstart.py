"""SnapStart: runs hooks around the snapshot, and renews what restored copies must not share.

This module also serves as ``snapshot_restore_py`` for functions without that package, as AWS's own
runtime has it. Source: "Lambda SnapStart runtime hooks for Python" and "Handling uniqueness with
Lambda SnapStart" in the AWS Lambda Developer Guide.
"""

import posix
import sys

from lambda_runtime import handlers, logs
from lambda_runtime.ground import hooks, settings, trusted
from lambda_runtime.ground.process import process
from lambda_runtime.runtime_api.client import RuntimeApiError
from lambda_runtime.start import startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypeVar

    from lambda_runtime.runtime_api.client import LambdaRuntimeClient

    Hook = TypeVar("Hook", bound=Callable[..., object])
    Entry = tuple[Callable[..., object], tuple[object, ...], dict[str, object]]

_BEFORE_SNAPSHOT = "Runtime.BeforeSnapshotError"
_AFTER_RESTORE = "Runtime.AfterRestoreError"
_EXIT_BEFORE_SNAPSHOT = 64
_EXIT_AFTER_RESTORE = 65

_before_snapshot: "list[Entry]" = []
_after_restore: "list[Entry]" = []


def register_before_snapshot(func: "Hook", *args: object, **kwargs: object) -> "Hook":
    """Call the function, with these arguments, before the snapshot; the last registered first."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func: "Hook", *args: object, **kwargs: object) -> "Hook":
    """Call the function, with these arguments, after every restore; the first registered first."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot() -> "list[Entry]":
    """The list of the hooks that are called before the snapshot; not a copy."""
    return _before_snapshot


def get_after_restore() -> "list[Entry]":
    """The list of the hooks that are called after a restore; not a copy."""
    return _after_restore


def on_snapshot(hook: "Hook") -> "Hook":
    """Call the function, sync or async, before the snapshot; the last registered first.

    The hook goes to the registry of ``snapshot_restore_py.register_before_snapshot``. An exception
    from it fails the publishing of the version. Without SnapStart the runtime does not call it.
    Raises TypeError for what is not a function.
    """
    _registry().register_before_snapshot(hooks.check("on_snapshot", hook))
    return hook


def on_restore(hook: "Hook") -> "Hook":
    """Call the function, sync or async, after every restore; the first registered first.

    The hook goes to the registry of ``snapshot_restore_py.register_after_restore``. An exception
    from it fails the invocation for which Lambda restores the environment. Without SnapStart the
    runtime does not call it. Raises TypeError for what is not a function.
    """
    _registry().register_after_restore(hooks.check("on_restore", hook))
    return hook


def pass_snapshot(client: "LambdaRuntimeClient") -> None:
    """Run the first hooks, wait for snapshot and restore, renew stale state, run the other hooks.

    Does not return after an error: reports it to the platform and exits, with status 64 before the
    restore and 65 after it, as AWS's own runtime does.
    """
    try:
        _run_before_snapshot()
        _prepare_credentials()
        trusted.complete()  # the snapshot is to have it
        logs.flush()
        client.restore_next()
    except BaseException as error:
        _fail(error, _EXIT_BEFORE_SNAPSHOT, _BEFORE_SNAPSHOT, client.post_init_error)
    try:
        client.reconnect()
        renew()
        _run_after_restore()
    except BaseException as error:
        _fail(error, _EXIT_AFTER_RESTORE, _AFTER_RESTORE, client.report_restore_error)


def renew() -> None:
    """Give this copy of the snapshot its own random state, and fresh credentials.

    Reseeds ``random``, NumPy's legacy generator and OpenSSL, if they are loaded. Sets no clock, as
    the runtime keeps no time.
    """
    reseed()
    _renew_credentials()


def reseed(*, forked: bool = False) -> None:
    """Reseed the random generators that are global in the process.

    In a ``forked`` process, Python and OpenSSL have already reseeded theirs.
    """
    _reseed("numpy.random", "seed")
    if not forked:
        _reseed("random", "seed")
        _reseed("ssl", "RAND_add", posix.urandom(32), 32.0)


def _registry() -> "Any":
    """The package ``snapshot_restore_py``, or this module if the package is not installed."""
    try:
        return trusted.import_of_users("snapshot_restore_py")
    except ModuleNotFoundError:
        return sys.modules[__name__]


def _run_before_snapshot() -> None:
    registered = _registry().get_before_snapshot()
    while registered:
        _run(*registered.pop())


def _run_after_restore() -> None:
    for hook in _registry().get_after_restore():
        _run(*hook)


def _run(
    hook: "Callable[..., object]", args: tuple[object, ...], kwargs: dict[str, object]
) -> None:
    result = hook(*args, **kwargs)
    if handlers.is_awaitable(result):
        from lambda_runtime import aio

        aio.run(result)  # type: ignore[arg-type]


def _fail(
    error: BaseException,
    status: int,
    error_type: str,
    report: "Callable[[dict[str, object], str], None]",
) -> "NoReturn":
    if process.is_terminated:
        raise error  # nothing has failed: the environment ends

    from lambda_runtime.errors import reports

    document = reports.describe(error, reports.user_frames(error.__traceback__), "")
    reports.log(document, error)
    logs.flush()
    try:
        report(document, error_type)
    except RuntimeApiError as failure:
        startup.stop(str(failure), status)
    sys.exit(status)


def _reseed(module_name: str, function: str, *entropy: object) -> None:
    module = sys.modules.get(module_name)
    try:
        getattr(module, function)(*entropy)
    except Exception:
        pass  # it is not loaded, or the function has another module of this name


def _uses_expiring_keys() -> bool:
    """Whether the environment has keys, which expire in the snapshot, and a source of new ones.

    With SnapStart, Lambda sets no keys, and every AWS SDK asks that source itself.
    """
    return bool(
        settings.get("AWS_ACCESS_KEY_ID") and settings.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    )


def _prepare_credentials() -> None:
    if _uses_expiring_keys():
        from lambda_runtime import credentials  # noqa: F401 - so that the snapshot contains it


def _renew_credentials() -> None:
    if _uses_expiring_keys():
        from lambda_runtime import credentials

        credentials.renew()
