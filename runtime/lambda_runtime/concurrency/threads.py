"""One process, a thread for each poll: for thread-safe sync handlers that mostly wait.

The main thread runs no handlers. It takes signals, and ends the process.
"""

import _thread
import contextvars
import threading
import time
from functools import partial

from lambda_runtime import loop, shutdown
from lambda_runtime.concurrency import shared, watchdog
from lambda_runtime.concurrency.client import GRACE_SECONDS, ManagedClient
from lambda_runtime.deadline import threads as interrupter
from lambda_runtime.ground import settings, trusted
from lambda_runtime.ground.invocation import under_way
from lambda_runtime.ground.process import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from lambda_runtime.concurrency.handover import Sender
    from lambda_runtime.concurrency.in_flight import Slot
    from lambda_runtime.handlers import Handler
    from lambda_runtime.runtime_api.client import Invocation


def serve(address: str, slots: "list[Slot]", handler: "Handler", sender: "Sender") -> "NoReturn":
    """Serve invocations, as many at once as there are slots, until SIGTERM.

    Raises RuntimeApiError.
    """
    clients = [
        ManagedClient(address, slot, partial(sender.give, number))
        for number, slot in enumerate(slots)
    ]
    Server(clients, handler, sender.is_to_retire).run()


class Server:
    """Runs the threads, and ends them."""

    def __init__(
        self,
        clients: "list[ManagedClient]",
        handler: "Handler",
        is_to_retire: "Callable[[], bool]",
    ) -> None:
        self._clients = clients
        self._is_to_retire = is_to_retire
        self._handler = handler
        self._main_thread = _thread.get_ident()
        # Every invocation starts with the context variables that init has set, and no others.
        self._context = contextvars.copy_context()
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._serving = _thread.allocate_lock()
        self._left = 0
        self._over = threading.Event()

    def run(self) -> "NoReturn":
        """Start the threads, and wait until the last of them has ended."""
        shared.prepare(
            self._runners,
            interrupter.interrupt if settings.get("LAMBDA_RUNTIME_TIMEOUT") else None,
        )
        shutdown.listen(self._drain)
        for number, client in enumerate(self._clients, 1):
            trusted.soundly(self._start, f"invocations-{number}", client)
        self._wait()
        if self._failure is not None:
            raise self._failure
        raise shutdown.termination()

    def _start(self, name: str, client: "ManagedClient") -> None:
        thread = threading.Thread(target=self._serve, args=(client,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _wait(self) -> None:
        """Wait until the last thread has ended, and give signs of life meanwhile."""
        seconds = watchdog.beat_seconds()
        while not self._over.is_set():
            self._clients[0].beat()
            if self._is_to_retire():
                self._retire()
            try:
                self._over.wait(seconds)
            except BaseException as error:
                if process.is_terminated:
                    raise
                shared.log_stray(error)  # such as SIGINT's KeyboardInterrupt

    def _runners(self) -> "set[object]":
        return {self._main_thread, *(thread.ident for thread in self._threads)}

    def _retire(self) -> None:
        """Ask for no more events. Those that have been asked for are served: see ``client``."""
        for client in self._clients:
            client.drain(ending=False)

    def _drain(self) -> None:
        """The environment ends: wait for no event."""
        for client in self._clients:
            client.drain(ending=True)
        time.sleep(GRACE_SECONDS)
        for client in self._clients:
            client.stop_waiting()

    def _serve(self, client: "ManagedClient") -> None:
        try:
            while (invocation := client.next_event()) is not None:
                self._context.copy().run(self._handle, client, invocation)
        except BaseException as error:
            if process.is_forked():
                shared.end_child(error)
            if client.has_in_flight or not client.draining:
                client.give_up()
            if not client.draining:
                self._fail(error)
        with self._serving:
            self._left += 1
            if self._left == len(self._clients):
                self._over.set()

    def _fail(self, error: BaseException) -> None:
        """Let the other threads finish their invocations; then a new process replaces this one."""
        with self._serving:
            if self._failure is None:
                self._failure = error
        self._retire()

    def _handle(self, client: "ManagedClient", invocation: "Invocation") -> None:
        under_way.begin_beside(invocation, _thread.get_ident())
        client.pipeline_next = not client.draining
        try:
            loop.handle_event_request(client, self._handler, invocation)
        except BaseException as error:
            if process.is_forked():
                shared.end_child(error)
            if error is client.failure:
                raise
            client.recover(invocation, error)
            # A SystemExit is an answered error too: the other invocations go on.
        finally:
            interrupter.end(invocation)
            if invocation.upload is not None:
                client.end_upload(invocation.upload)
        client.settle()
