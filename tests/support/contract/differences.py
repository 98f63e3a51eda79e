"""The wanted differences between awslambdaric and this runtime.

docs/differences.md lists them, each with its cases and its reason. This module defines each
difference exactly: a rule changes awslambdaric's result into the result that this runtime should
have. All other differences are faults.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from support.contract.session import Case, Exchange
from support.paths import ROOT

PAGE = ROOT / "docs" / "differences.md"

Version = tuple[int, int]

_VERSIONS: dict[str, tuple[Version, Version]] = {
    "all": ((3, 0), (4, 0)),
    "3.11": ((3, 11), (3, 12)),
    "3.12+": ((3, 12), (4, 0)),
    "3.13+": ((3, 13), (4, 0)),
    "3.15": ((3, 15), (3, 16)),
}
"""The page's names of Python versions: from the first version on, below the second."""

Rule = Callable[[Exchange, Exchange], Exchange]
"""Takes the reference's exchange and the subject's; returns the exchange that is wanted."""


@dataclass(frozen=True)
class Difference:
    """A row of the page: its ID, the patterns of its cases, and its versions of Python."""

    id: str
    cases: tuple[str, ...]
    versions: str

    def pattern_for(self, case: Case, python: Version) -> str | None:
        """The pattern that matches the case; None if the row does not apply to it."""
        if not self.shows_on(python):
            return None
        return next((pattern for pattern in self.cases if fnmatchcase(case.id, pattern)), None)

    def shows_on(self, python: Version) -> bool:
        """Whether the difference exists on a version of Python."""
        first, end = _VERSIONS[self.versions]
        return first <= python < end


@functools.cache
def listed() -> list[Difference]:
    """Read the rows of the page, in order. Raises ValueError for an invalid row."""
    rows = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("| `"):
            continue
        if len(cells) != 6 or not all(cells) or cells[2] not in _VERSIONS:
            raise ValueError(f"{PAGE.name}: six cells, the third one of {[*_VERSIONS]}: {line}")
        rows.append(
            Difference(cells[0].strip("`"), tuple(re.findall("`(.+?)`", cells[1])), cells[2])
        )
    return rows


def explain(
    case: Case,
    reference: tuple[Exchange, ...],
    subject: tuple[Exchange, ...],
    python: Version,
) -> tuple[tuple[Exchange, ...], set[tuple[str, str]]]:
    """Apply the rules to the reference; return the result and the used rows with their patterns."""
    wanted, used = [], set()
    for theirs, ours in zip(reference, subject, strict=True):
        for difference in listed():
            pattern = difference.pattern_for(case, python)
            if theirs == ours or pattern is None:
                continue
            changed = RULES[difference.id](theirs, ours)
            if changed != theirs:
                used.add((difference.id, pattern))
            theirs = changed
        wanted.append(theirs)
    return tuple(wanted), used


# -- rules ---------------------------------------------------------------------------------------

_BLANKS = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
_ESCAPES = re.compile(r"((?:\\u[0-9a-f]{4})+)|\\.")
_CONSTANTS = re.compile(r'("(?:[^"\\]|\\.)*")|\bNaN\b|-?\bInfinity\b')
_WARNING = re.compile(r"LAMBDA_WARNING: Unhandled exception.*?\\?\r|LAMBDA_WARNING: .*?\\r")
_PREVIEW = re.compile(r"^.*LAMBDA_WARNING: This is a preview runtime version.*\n", re.M)
_RUNTIME_FRAMES = re.compile(
    r'Stack \(most recent call last\):\n(.*?)(?=  File "<task>)', re.DOTALL
)
_REPEATED = re.compile(r"\[Previous line repeated \d+ more times?\]")


def _document(text: str) -> dict[str, Any]:
    """The error document in the text; empty if there is none."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) and "errorType" in document else {}


def _message(exchange: Exchange) -> str:
    return str(_document(exchange.body).get("errorMessage", ""))


def _kind(exchange: Exchange) -> str:
    return str(_document(exchange.body).get("errorType", ""))


def _is_answered(theirs: Exchange, ours: Exchange) -> bool:
    """Whether the reference's process ended without an answer, and the subject gave an error."""
    return _kind(theirs) == "Runtime.ExitError" and bool(_document(ours.body).get("stackTrace"))


def _with_message_of(theirs: Exchange, ours: Exchange) -> Exchange:
    old, new = _message(theirs), _message(ours)
    if not old or not new:
        return theirs
    body = theirs.body.replace(_quoted(old), _quoted(new))
    log = theirs.log.replace(_quoted(old), _quoted(new)).replace(f": {old}", f": {new}", 1)
    return replace(theirs, body=body, log=log)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def preview_warning(theirs: Exchange, ours: Exchange) -> Exchange:
    return replace(theirs, log=_PREVIEW.sub("", theirs.log))


def compact_json(theirs: Exchange, ours: Exchange) -> Exchange:
    try:
        json.loads(theirs.body)
    except ValueError:
        return theirs
    return replace(theirs, body=_BLANKS.sub(lambda match: match[1] or "", theirs.body))


def raw_non_ascii(theirs: Exchange, ours: Exchange) -> Exchange:
    log = _ESCAPES.sub(_unescaped, theirs.log) if theirs.log.startswith("{") else theirs.log
    return replace(theirs, body=_ESCAPES.sub(_unescaped, theirs.body), log=log)


def _unescaped(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0]
    units = b"".join(int(unit, 16).to_bytes(2, "little") for unit in match[1].split(r"\u")[1:])
    text = units.decode("utf-16-le", "surrogatepass")
    # A character without a UTF-8 form, or one that JSON strings must escape, stays escaped.
    return "".join(
        f"\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" or char < "\x7f" else char
        for char in text
    )


def null_for_nan(theirs: Exchange, ours: Exchange) -> Exchange:
    body = _CONSTANTS.sub(lambda match: match[1] or "null", theirs.body)
    return replace(theirs, body=body.replace('"NaN":', '"null":'))


def json_wording(theirs: Exchange, ours: Exchange) -> Exchange:
    same_kind = _kind(theirs) == _kind(ours) and "Unmarshal" in _kind(ours)
    same_start = _message(theirs).partition(": ")[0] == _message(ours).partition(": ")[0]
    return _with_message_of(theirs, ours) if same_kind and same_start else theirs


def utf_16_events(theirs: Exchange, ours: Exchange) -> Exchange:
    accepted = _kind(theirs) == "Runtime.UnmarshalError" and "a" in ours.body and not _kind(ours)
    return replace(theirs, body=ours.body, log="") if accepted else theirs


def place_in_result(theirs: Exchange, ours: Exchange) -> Exchange:
    if _kind(theirs) != "Runtime.MarshalError" or _kind(ours) != "Runtime.MarshalError":
        return theirs
    named = re.match(r"Unable to marshal response: result(\[.+\])*: ", _message(ours))
    return _with_message_of(theirs, ours) if named else theirs


def more_types(theirs: Exchange, ours: Exchange) -> Exchange:
    refused = _kind(theirs) == "Runtime.MarshalError" and not _kind(ours)
    return replace(theirs, body=ours.body, log="") if refused else theirs


def streams(theirs: Exchange, ours: Exchange) -> Exchange:
    refused = "Object of type generator is not" in _message(theirs)
    streamed = not _kind(ours) or _message(ours).startswith("Unable to stream: chunk ")
    return ours if refused and streamed else theirs


def coroutines(theirs: Exchange, ours: Exchange) -> Exchange:
    refused = "Object of type coroutine is not" in _message(theirs)
    awaited = ours.body.startswith('"awaited ') and not ours.log
    return ours if refused and awaited else theirs


def errors_while_marshalling(theirs: Exchange, ours: Exchange) -> Exchange:
    user_error = _kind(theirs) == "Runtime.MarshalError" and _kind(ours) == "LookupError"
    shown = "in items" in ours.body and _message(ours) in _message(theirs)
    return ours if user_error and shown else theirs


def advice(theirs: Exchange, ours: Exchange) -> Exchange:
    extended = _message(ours).startswith(_message(theirs)) and _kind(theirs) == _kind(ours)
    return _with_message_of(theirs, ours) if extended else theirs


def malformed_names(theirs: Exchange, ours: Exchange) -> Exchange:
    return ours if _kind(ours) == "Runtime.MalformedHandlerName" else theirs


def init_warning(theirs: Exchange, ours: Exchange) -> Exchange:
    warning = _WARNING.search(ours.log)
    if warning is None:
        return theirs
    return replace(theirs, log=_WARNING.sub(lambda match: warning[0], theirs.log, count=1))


def user_frames(theirs: Exchange, ours: Exchange) -> Exchange:
    document = _document(theirs.body)
    stack = document.get("stackTrace", [])
    first = next((i for i, frame in enumerate(stack) if '"<task>' in frame), len(stack))
    log = theirs.log
    for frame in stack[:first]:
        shown = "".join(f"\r{_no_break(line)}" for line in frame.splitlines())
        log = log.replace(shown, "", 1)
        log = log.replace(f"{json.dumps(frame)}, ", "", 1).replace(json.dumps(frame), "", 1)
    body = json.dumps({**document, "stackTrace": stack[first:]}, ensure_ascii=False)
    return compact_json(replace(theirs, body=body, log=log), ours) if first else theirs


def _no_break(line: str) -> str:
    bare = line.lstrip(" ")
    return "\xa0" * (len(line) - len(bare)) + bare


def whole_chain(theirs: Exchange, ours: Exchange) -> Exchange:
    if theirs.log.endswith("}\n"):
        start, related = theirs.log.removesuffix("}\n"), r', "(cause|context|notes|exceptions)": '
    else:
        start = theirs.log.removesuffix("\n")
        related = r"\r(Caused by|While handling|Note|Exception 1 of \d+ in the group): "
    more = ours.log.startswith(start) and re.match(related, ours.log[len(start) :])
    return replace(theirs, log=ours.log) if more else theirs


def client_context_type(theirs: Exchange, ours: Exchange) -> Exchange:
    named = _kind(ours) == "Runtime.LambdaContextUnmarshalError" and "not an object" in ours.body
    return ours if named and _kind(theirs) == "AttributeError" else theirs


def more_context(theirs: Exchange, ours: Exchange) -> Exchange:
    names = sorted([*json.loads(theirs.body), "deadline", "trace_id"])
    return compact_json(replace(theirs, body=json.dumps(names)), ours)


def base_exceptions(theirs: Exchange, ours: Exchange) -> Exchange:
    if _kind(theirs) == "Runtime.ExitError" and _is_answered(theirs, ours) and not ours.ended:
        return ours
    return _still_the_same_process(theirs, ours)


def _still_the_same_process(theirs: Exchange, ours: Exchange) -> Exchange:
    """Adjust the next invocation: the reference has a new process, this runtime the same one."""
    return replace(theirs, body=ours.body) if ours.body == '{"before":2}' else theirs


def base_exceptions_at_import(theirs: Exchange, ours: Exchange) -> Exchange:
    kind = _kind(ours)
    return ours if not theirs.body and kind and f"\n{kind}: " in theirs.log else theirs


def exits_answered(theirs: Exchange, ours: Exchange) -> Exchange:
    answered = _is_answered(theirs, ours) and _kind(ours) == "SystemExit"
    return replace(theirs, body=ours.body, log=_with_report(theirs, ours)) if answered else theirs


def _with_report(theirs: Exchange, ours: Exchange) -> str:
    """The reference's log after the record of the answered error."""
    return ours.log if theirs.log in ours.log and "[ERROR] SystemExit" in ours.log else theirs.log


def unprintable_errors(theirs: Exchange, ours: Exchange) -> Exchange:
    said = _message(ours).startswith("<str() of this ")
    if _is_answered(theirs, ours) and said and not ours.ended:
        return ours
    return _still_the_same_process(theirs, ours)


def odd_errors(theirs: Exchange, ours: Exchange) -> Exchange:
    told = _is_answered(theirs, ours) or _tells_less(theirs, ours)
    if told and f"[ERROR] {_kind(ours)}: {_message(ours)}" in ours.log:
        return ours
    return _still_the_same_process(theirs, ours)


def damaged_interpreter(theirs: Exchange, ours: Exchange) -> Exchange:
    return odd_errors(theirs, ours)


def damaged_descriptors(theirs: Exchange, ours: Exchange) -> Exchange:
    return odd_errors(theirs, ours)


def _tells_less(theirs: Exchange, ours: Exchange) -> bool:
    """Whether both gave the same error, and the reference's last frame lacks its source line."""
    last = [str((_document(one.body).get("stackTrace") or [""])[-1]) for one in (theirs, ours)]
    return _message(theirs) == _message(ours) and last[0] != last[1] and last[1].startswith(last[0])


def surrogates(theirs: Exchange, ours: Exchange) -> Exchange:
    answered = _is_answered(theirs, ours) and r"\ud800" in ours.body
    return ours if answered and r"\ud800" in ours.log else theirs


def surrogates_in_json(theirs: Exchange, ours: Exchange) -> Exchange:
    died = theirs.ended == "exit status 1" and "surrogates not allowed" in theirs.log
    return ours if died and ours.body.startswith(('"', "{")) else theirs


def init_errors_beyond_latin_1(theirs: Exchange, ours: Exchange) -> Exchange:
    lost = not theirs.body and "is not valid Latin-1" in theirs.log
    return ours if lost and _kind(ours) else theirs


def too_large(theirs: Exchange, ours: Exchange) -> Exchange:
    if "413" in theirs.log and "413" in ours.log and not ours.ended:
        return replace(ours, body=theirs.body)
    return _still_the_same_process(theirs, ours)


def streams_repaired(theirs: Exchange, ours: Exchange) -> Exchange:
    lost = _kind(theirs) == "Runtime.ExitError" and ours.body == '{"before":2}'
    return ours if lost and ours.status == 200 else theirs


def unsound_streams(theirs: Exchange, ours: Exchange) -> Exchange:
    ended = _kind(theirs) == "Runtime.ExitError" and not ours.ended
    replaced = json.loads(theirs.body) == {"before": 0} and ours.body == '{"before":2}'
    return ours if (ended or replaced) and ours.status == 200 else theirs


def exits_bounded(theirs: Exchange, ours: Exchange) -> Exchange:
    return ours if "timed out" in theirs.body and _kind(ours) == "SystemExit" else theirs


def interactive_names(theirs: Exchange, ours: Exchange) -> Exchange:
    return replace(theirs, body=theirs.body.replace("true", "false"))


def partial_lines(theirs: Exchange, ours: Exchange) -> Exchange:
    log = theirs.log.replace("begun, to stderr\nended\n", "to stderr\nbegun, ended\n")
    return replace(theirs, log=log)


def original_stream(theirs: Exchange, ours: Exchange) -> Exchange:
    text = "to the original stream\n"
    # Search the whole log: in a new process the module's own output at import comes first.
    is_late = text in ours.log and text not in theirs.log
    return replace(theirs, log=theirs.log + text if is_late else theirs.log.removeprefix(text))


def cropped(theirs: Exchange, ours: Exchange) -> Exchange:
    whole, part = _message(theirs), _message(ours)
    kept = re.fullmatch(r"(x+)… \((\d+) more characters\)", part)
    if kept is None or len(kept[1]) + int(kept[2]) != len(whole):
        return theirs
    return _with_message_of(theirs, ours)


def recursion_depth(theirs: Exchange, ours: Exchange) -> Exchange:
    count = _REPEATED.search(ours.body)
    if count is None:
        return theirs
    body, log = (_REPEATED.sub(count[0], text) for text in (theirs.body, theirs.log))
    return replace(theirs, body=body, log=log)


def logging_errors(theirs: Exchange, ours: Exchange) -> Exchange:
    went_on = _document(theirs.body) and ours.body == "null"
    said = "cannot be formatted: " in ours.log or "nothing was raised" in ours.log
    return ours if went_on and said else theirs


def stack_of_the_runtime(theirs: Exchange, ours: Exchange) -> Exchange:
    own = _RUNTIME_FRAMES.search(ours.log)
    if own is None:
        return theirs
    return replace(theirs, log=_RUNTIME_FRAMES.sub(lambda match: own[0], theirs.log, count=1))


def forked_children(theirs: Exchange, ours: Exchange) -> Exchange:
    shown = "ValueError: in the child" in ours.log and _message(theirs) == "in the child"
    return ours if shown and ours.body == "null" else theirs


def lost_connection(theirs: Exchange, ours: Exchange) -> Exchange:
    if "timed out" in theirs.body:
        return ours if ours.body == "null" else theirs
    return _still_the_same_process(theirs, ours)


def timeout_trace(theirs: Exchange, ours: Exchange) -> Exchange:
    said = "[ERROR]\t<time>\t<request id>\tThe function is about to time out, in "
    before, trace, stack = ours.log.partition(said)
    # A very busy machine may not write the trace in time, in the last 5 % of a second.
    return replace(theirs, log=theirs.log + trace + stack) if before == theirs.log else theirs


RULES: dict[str, Rule] = {
    rule.__name__.replace("_", "-"): rule
    for rule in (
        preview_warning,
        compact_json, raw_non_ascii, null_for_nan, json_wording, utf_16_events, place_in_result,
        more_types, streams, coroutines, errors_while_marshalling, advice, malformed_names,
        init_warning, user_frames, whole_chain, client_context_type, more_context,
        base_exceptions, base_exceptions_at_import, exits_answered, unprintable_errors,
        odd_errors, damaged_interpreter, damaged_descriptors, surrogates,
        surrogates_in_json, init_errors_beyond_latin_1, too_large, streams_repaired,
        unsound_streams, exits_bounded, interactive_names, partial_lines, original_stream, cropped,
        recursion_depth,
        logging_errors, stack_of_the_runtime, forked_children, lost_connection,
        timeout_trace,
    )
}  # fmt: skip
