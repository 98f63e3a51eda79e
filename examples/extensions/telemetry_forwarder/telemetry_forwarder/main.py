"""The extension: subscribes, hands records to the sender, and flushes at the shutdown.

It does not subscribe to INVOKE, so no invocation ever waits for it.
"""

import sys

from lambda_runtime.extensions import Extension

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.extensions import Record, Shutdown
    from telemetry_forwarder.sender import Sender

_MARGIN = 0.15
"""Seconds before the end of the shutdown window at which the last attempt ends."""

extension = Extension()
_senders: "list[Sender]" = []


@extension.on_init
def start() -> None:
    """Begin to send. Everything slow, httpx above all, is loaded now: the runtime starts beside."""
    from telemetry_forwarder import configuration
    from telemetry_forwarder.sender import Sender

    try:
        encoder = configuration.encoder(extension.function)
    except ValueError as error:
        raise SystemExit(f"telemetry_forwarder: {error}") from None
    sender = Sender(encoder)
    sender.start()
    _senders.append(sender)


@extension.on_telemetry(types=("platform", "function"), max_items=1000, timeout_ms=100)
def received(records: "list[Record]") -> None:
    """Take a batch in; waits while there is no room, and so holds the platform back."""
    _senders[0].put(records)


@extension.on_shutdown
def flush(event: "Shutdown") -> None:
    """Send what is left, for as long as the window lasts; say so if that was not all."""
    lost = _senders[0].finish(event.remaining_seconds - _MARGIN)
    if lost:
        sys.stderr.write(
            f"telemetry_forwarder: {lost} records were not delivered before the environment "
            f"ended: {_senders[0].trouble or 'the collector is too slow'}\n"
        )
