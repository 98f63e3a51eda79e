"""What the platform says when it refuses an extension something, and what to do about it."""

from lambda_runtime import payload
from lambda_runtime.connection import Reply
from lambda_runtime.extensions.client import ExtensionError

_ADVICE = {
    "Extension.InvalidEventType": (
        "an external extension registers under the name of its file in /opt/extensions, an "
        "internal one may subscribe to INVOKE only, and on managed instances there is no INVOKE"
    ),
    "Extension.RegistrationClosed": (
        "extensions register while the function is initialised; an external one registers under "
        "the name of its file in /opt/extensions"
    ),
    "Extension.TooManyExtensions": "Lambda runs ten extensions at most: leave some out",
    "Telemetry.SubscriptionClosed": "subscribe before the first event is asked for",
    "Logs.SubscriptionClosed": "subscribe before the first event is asked for",
}


def make(name: str, call: str, reply: Reply) -> ExtensionError:
    """The error to raise for a reply that refuses a call."""
    error_type, said = explain(reply)
    advice = _ADVICE.get(error_type)
    if "already registered" in said:
        advice = "the name is taken: choose another"  # the type has other meanings too
    text = f"Lambda refused {call} of extension {name!r}: {reply.status} {said}".rstrip()
    return ExtensionError(f"{text}; {advice}" if advice else text, error_type)


def explain(reply: Reply) -> tuple[str, str]:
    """The type and the message of the platform's error document, or the text that came instead."""
    text = bytes(reply.body[:2000]).decode("utf-8", "replace").strip()
    try:
        document = payload.decode(reply.body)
    except ValueError:
        return "", text  # an emulator quotes quotation marks without escaping them
    if not isinstance(document, dict):
        return "", text
    error_type = str(document.get("errorType", ""))
    return error_type, f"{error_type}: {document.get('errorMessage', '')}".strip(": ")
