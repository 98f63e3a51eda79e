"""The settings of web applications, from environment variables."""

from lambda_runtime.ground import settings
from lambda_runtime.web.paths import normal_base_path
from lambda_runtime.web.responses import field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lambda_runtime.web.events import Headers, Request

BASE_PATH = "LAMBDA_RUNTIME_BASE_PATH"
EVENT_HANDLER = "LAMBDA_RUNTIME_EVENT_HANDLER"
RESPONSE_MODE = "LAMBDA_RUNTIME_RESPONSE_MODE"
WEBSOCKET_PATH = "LAMBDA_RUNTIME_WEBSOCKET_PATH"

_BUFFER_LIMIT = 4 * 1024 * 1024
"""The largest body in bytes that fits into a buffered answer (6 MB) even in base64."""


class WebSettings:
    """The values of the variables, read once, in init.

    Raises FaultException (``Runtime.InvalidSetting``) for an invalid value.
    """

    def __init__(self) -> None:
        self.base_path = normal_base_path(settings.get(BASE_PATH) or "")
        self.event_handler = settings.get(EVENT_HANDLER) or None
        self.websocket_path = settings.get(WEBSOCKET_PATH) or None
        self.mode = settings.get(RESPONSE_MODE) or ""
        if self.mode not in ("", "streaming", "buffered"):
            raise _invalid(RESPONSE_MODE, self.mode, "'streaming' or 'buffered'")
        if self.websocket_path is not None and not self.websocket_path.startswith("/"):
            raise _invalid(WEBSOCKET_PATH, self.websocket_path, "a path that begins with /")

    def can_stream(self, request: "Request") -> bool:
        """Whether the answer to the request may be a stream."""
        if self.mode == "buffered" or not request.streams:
            return False
        return self.mode == "streaming" or request.streams_unasked

    def should_stream(self, headers: "Headers", in_one_piece: bool) -> bool:
        """Whether an answer that may be a stream should be one, and not buffered.

        ``in_one_piece`` says that the application has already produced the whole body.
        """
        if self.mode == "streaming":
            return True
        if in_one_piece:
            return False
        length = field(headers, b"content-length")
        return not (length.isdecimal() and int(length) <= _BUFFER_LIMIT)


def _invalid(name: str, value: str, expected: str) -> Exception:
    from lambda_runtime.ground.faults import FaultException

    return FaultException("Runtime.InvalidSetting", f"{name} is {value!r}: it may be {expected}")
