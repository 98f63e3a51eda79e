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
"""Seconds before the end of the shutdown window. The last attempt to send ends then."""

extension = Extension()
_senders: "list[Sender]" = []


@extension.on_init
def start() -> None:
    """Start to send. Slow modules such as httpx load here, while the runtime already starts."""
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
    """Take a batch. This waits while there is no room, which holds the platform back."""
    _senders[0].put(records)


@extension.on_shutdown
def flush(event: "Shutdown") -> None:
    """Send the remaining records within the window; print how many were not delivered."""
    lost = _senders[0].finish(event.remaining_seconds - _MARGIN)
    if lost:
        sys.stderr.write(
            f"telemetry_forwarder: {lost} records were not delivered before the environment "
            f"ended: {_senders[0].trouble or 'the collector is too slow'}\n"
        )
