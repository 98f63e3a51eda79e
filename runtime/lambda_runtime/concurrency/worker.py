"""A process that serves invocations, from its fork to its end."""

import sys
import time

from lambda_runtime import logs, loop, shutdown
from lambda_runtime.concurrency import handover, modes, output, preload
from lambda_runtime.concurrency.client import GRACE_SECONDS, ManagedClient
from lambda_runtime.errors import last_resort
from lambda_runtime.ground import settings, trusted
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process
from lambda_runtime.runtime_api.client import RuntimeApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Sequence
    from typing import NoReturn

    from lambda_runtime.concurrency.in_flight import Slot
    from lambda_runtime.concurrency.output import OutputLock
    from lambda_runtime.handlers import Handler


COMMON = (
    *("asyncio", "concurrent.futures", "dataclasses", "datetime", "decimal", "email.message"),
    *("hashlib", "http.client", "inspect", "json", "logging", "random", "socket", "ssl"),
    *("subprocess", "tempfile", "threading", "traceback", "typing", "urllib.request", "uuid"),
    *("xml.etree.ElementTree", "zipfile", "zoneinfo"),
)
"""Standard library modules that many functions load, and that a fork does not harm."""


class WorkerReady:
    """The report that a worker sends when it is initialised.

    It names the mode, whether the worker needs the extension that brings SIGTERM, and the common
    modules that it has loaded.
    """

    def __init__(self, mode: str, wants_extension: bool, modules: "Sequence[str]" = ()) -> None:
        self.mode = mode
        self.wants_extension = wants_extension
        self.modules = modules

    def write(self) -> bytes:
        """The message for the channel."""
        return " ".join((self.mode, str(int(self.wants_extension)), *self.modules)).encode()

    @classmethod
    def read(cls, data: bytes) -> "WorkerReady":
        """Read the message that ``write`` has made."""
        mode, wants_extension, *modules = data.decode().split()
        return cls(mode, wants_extension == "1", modules)


class Worker:
    """A worker; call ``run`` in its own process.

    There is one slot for each poll that it may have, ``channel`` leads to the supervisor, and the
    workers write their lines under the ``output_lock``.
    """

    def __init__(
        self,
        address: str,
        slots: "list[Slot]",
        channel: "_socket.socket",
        output_lock: "OutputLock",
    ) -> None:
        self._address = address
        self._slots = slots
        self._channel = channel
        self._output_lock = output_lock
        self._mode = modes.AUTO

    def run(self, mode: str, handler: "Handler | None") -> "NoReturn":
        """Serve the function's invocations until the environment ends.

        ``mode`` is the configured mode. Without a ``handler``, the worker initialises the function.
        """
        self._mode = mode
        process.claim()
        under_way.watch_anew()
        shutdown.be_supervised()
        output.connect(self._output_lock)
        output.install_streams(
            self._output_lock
        )  # new ones: a thread of the init may have been using the old ones
        client = ManagedClient(self._address, self._slots[0])
        if handler is None:
            handler = loop.initialise(client, self._complete)
        else:
            handler = self._complete_fork(client, handler)
        logs.flush()
        self._report()
        try:
            self._serve(client, handler)
        except RuntimeApiError:
            if client.draining:
                raise shutdown.termination() from None
            raise

    def _complete(self, handler: "Handler") -> "Handler":
        """The function to call for each invocation. Raises for invalid settings."""
        self._mode = modes.choose(self._mode, handler)
        if (wsgi := trusted.loaded("lambda_runtime.web.wsgi")) is not None:
            wsgi.share(self._mode == modes.THREADS, self._mode not in modes.SHARED)
        policy = settings.get("LAMBDA_RUNTIME_TIMEOUT")
        if not policy:
            return handler
        from lambda_runtime import deadline

        if self._mode not in modes.SHARED:
            from lambda_runtime.deadline import main_thread

            return main_thread.guard(handler, policy)
        deadline.check_policy(policy)
        return deadline.Guarded(handler)

    def _complete_fork(self, client: ManagedClient, handler: "Handler") -> "Handler":
        try:
            handler = self._complete(handler)
            preload.begin_worker()
        except SystemExit:
            raise
        except BaseException as error:
            last_resort.fail_init(client, error)
            sys.exit(1)
        return handler

    def _report(self) -> None:
        """Tell the supervisor that the init is over, and wait until it lets this worker go on."""
        modules = [name for name in COMMON if _is_standard(sys.modules.get(name))]
        self._channel.sendall(WorkerReady(self._mode, shutdown.needs_extension(), modules).write())
        if not self._channel.recv(1):
            sys.exit(1)  # the supervisor is gone

    def _serve(self, client: ManagedClient, handler: "Handler") -> "NoReturn":
        sender = handover.Sender(self._channel)
        if self._mode == modes.THREADS:
            from lambda_runtime.concurrency import threads

            threads.serve(self._address, self._slots, handler, sender)
        if self._mode == modes.ASYNC:
            from lambda_runtime.concurrency import event_loop

            event_loop.serve(self._address, self._slots, handler, sender)
        self._channel.close()
        serve_alone(client, handler)


def _is_standard(module: object) -> bool:
    """Whether the module is loaded, and is not a module of the user's with the same name."""
    file = getattr(module, "__file__", None) or ""
    folder: str | None = getattr(sys, "_stdlib_dir", None)
    return folder is not None and file.startswith(f"{folder}/") and "-packages/" not in file


def serve_alone(client: ManagedClient, handler: "Handler") -> "NoReturn":
    """Serve one invocation after the other, until SIGTERM. Raises RuntimeApiError."""

    def drain() -> None:
        client.drain(ending=True)
        if client.waiting:
            time.sleep(GRACE_SECONDS)
            client.stop_waiting()

    shutdown.listen(drain)
    while True:
        under_way.current = None
        # Without a call when not draining: each one counts here (docs/benchmarks.md).
        invocation = client.next_event() if client.draining else client.wait_next_invocation()
        if invocation is None:
            raise shutdown.termination()
        loop.begin(invocation)
        client.pipeline_next = not client.draining
        try:
            loop.handle_event_request(client, handler, invocation)
        except BaseException as error:
            if error is client.failure or process.is_terminated or process.is_forked():
                raise
            client.recover(invocation, error)
            if issubclass(type(error), SystemExit):
                raise
        if invocation.upload is not None:
            client.end_upload(invocation.upload)
        client.settle()
