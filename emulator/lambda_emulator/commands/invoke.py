"""invoke a function of a running emulator: invoke NAME --event sqs"""

from __future__ import annotations

import argparse
import base64
import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from lambda_emulator.commands.events import add_set_argument
from lambda_emulator.project.errors import RunError, UsageError
from lambda_emulator.project.terminal import plain
from lambda_emulator.samples import answers, catalogue

if TYPE_CHECKING:
    import httpx

_DEFAULT_ENDPOINT = "http://127.0.0.1:9000"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "function",
        nargs="?",
        default="function",
        metavar="NAME|URL",
        help="its name or ARN, or the URL of an emulator, with /NAME or without",
    )
    add(
        "--event",
        default="{}",
        help="a sample's name (see events), JSON, a file, or - for standard input (default: {})",
    )
    add_set_argument(parser)
    add_endpoint_argument(parser)
    kinds = ("RequestResponse", "Event", "DryRun")
    add("--type", choices=kinds, default=kinds[0], help="invocation type (default: %(default)s)")
    add("--qualifier", help="version or alias")
    add("--log", action="store_true", help="show the end of its log, too")


def add_endpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Declare which emulator is called."""
    parser.add_argument(
        "--endpoint",
        default=os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or _DEFAULT_ENDPOINT,
        help="URL of the emulator's API (default: AWS_ENDPOINT_URL_LAMBDA, or port 9000 here)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Invoke; the status is 1 if the function fails."""
    event, _ = catalogue.read(arguments.event, arguments.set)
    reply = _post(arguments, event)
    if reply.status_code >= 300:
        raise RunError(f"{reply.status_code} {message(reply)}")
    log = reply.headers.get("x-amz-log-result")
    if log:
        print(plain(base64.b64decode(log).decode(errors="replace")), file=sys.stderr)
    if "x-amz-function-error" in reply.headers:
        print(answers.show_error(reply.content))
        return 1
    if reply.content:
        print(answers.show(reply.content))
    else:
        print(f"{reply.status_code} {'accepted' if reply.status_code == 202 else 'no content'}")
    return 0


def _post(arguments: argparse.Namespace, event: bytes) -> httpx.Response:
    import httpx

    url = _url(arguments.function, arguments.endpoint)
    parameters = {"Qualifier": arguments.qualifier} if arguments.qualifier else {}
    headers = {"X-Amz-Invocation-Type": arguments.type, "Content-Type": "application/json"}
    if arguments.log:
        headers["X-Amz-Log-Type"] = "Tail"
    try:
        with httpx.Client(trust_env=False, timeout=httpx.Timeout(None, connect=5.0)) as client:
            return client.post(url, content=event, params=parameters, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise no_answer(url.partition("/2015-03-31/")[0], error) from None


def no_answer(base: str, error: Exception) -> RunError:
    """The error when no emulator is where one was expected."""
    return RunError(
        f"no answer from {base}: {error or type(error).__name__}; "
        "is `lambda-emulator app.handler` running there?"
    )


def _url(function: str, endpoint: str) -> str:
    if "://" in function:
        parts = urlsplit(function)
        endpoint, function = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or "function"
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    return checked_endpoint(endpoint) + path


def checked_endpoint(endpoint: str) -> str:
    """The URL without a final slash. Raises UsageError if it is none."""
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise UsageError(f"{endpoint}: not the URL of an emulator (http://127.0.0.1:9000)")
    return endpoint.rstrip("/")


def message(reply: httpx.Response) -> str:
    """What an error's answer says, in one line."""
    kind = reply.headers.get("x-amzn-errortype", "")
    try:
        document = reply.json()
        text = document.get("Message") or document.get("message")
    except (ValueError, AttributeError):
        text = reply.text[:500]
    return f"{kind}: {text}" if kind else str(text)
