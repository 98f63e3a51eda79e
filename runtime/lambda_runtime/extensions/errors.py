"""The errors of calls that the platform refuses, with advice on what to do."""

from lambda_runtime import payload
from lambda_runtime.extensions.client import ExtensionError
from lambda_runtime.runtime_api.http1 import Reply

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
    """The exception for a reply that refuses ``call`` to the extension ``name``."""
    error_type, message = explain(reply)
    advice = _ADVICE.get(error_type)
    if "already registered" in message:
        advice = "the name is taken: choose another"  # the same type has other causes too
    text = f"Lambda refused {call} of extension {name!r}: {reply.status} {message}".rstrip()
    return ExtensionError(f"{text}; {advice}" if advice else text, error_type)


def explain(reply: Reply) -> tuple[str, str]:
    """The type and the message of the platform's error document.

    If the body is no such document, the type is "" and the message is the body's text.
    """
    text = bytes(reply.body[:2000]).decode("utf-8", "replace").strip()
    try:
        document = payload.decode(reply.body)
    except ValueError:
        return "", text  # one emulator does not escape the quotation marks in its messages
    if not isinstance(document, dict):
        return "", text
    error_type = str(document.get("errorType", ""))
    return error_type, f"{error_type}: {document.get('errorMessage', '')}".strip(": ")
