"""Where the runtime's settings are defined: what each means, and how to do without each invention.

`python -m pages.settings` writes both tables into docs/settings.md. The tests hold this list to the
variables that the sources read.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs/settings.md"
_HINT = "written by `python -m pages.settings`"


@dataclass(frozen=True)
class Setting:
    """One environment variable of the function."""

    name: str
    value: str
    default: str
    page: str
    title: str


@dataclass(frozen=True)
class Switch:
    """An invention, how a function does without it, and what that costs."""

    invention: str
    off: str
    cost: str
    page: str


SETTINGS = (
    Setting(
        "LAMBDA_RUNTIME_BASE_PATH",
        "a path that web requests begin with and the application does not know",
        "none",
        "web.md",
        "web",
    ),
    Setting(
        "LAMBDA_RUNTIME_CONCURRENCY",
        "`auto`, `processes`, `preload`, `threads` or `async`: how several invocations run at once",
        "`auto`",
        "managed-instances.md",
        "managed instances",
    ),
    Setting(
        "LAMBDA_RUNTIME_CORE",
        "`python`: the transport in C is not used",
        "it is used where it is there",
        "core.md",
        "the core in C",
    ),
    Setting(
        "LAMBDA_RUNTIME_EVENT_HANDLER",
        "`module.function`, for events that are no web requests",
        "none",
        "web.md",
        "web",
    ),
    Setting(
        "LAMBDA_RUNTIME_INIT_TRACE_MS",
        "when a slow init logs where it is, in ms after the process's start; 0: never",
        "8000 on demand, else 0",
        "lifecycle.md",
        "lifecycle",
    ),
    Setting(
        "LAMBDA_RUNTIME_LAZY_IMPORTS",
        "`1`, or packages: imports that run when they are used, on Python 3.15",
        "none",
        "lazy-imports.md",
        "lazy imports",
    ),
    Setting("LAMBDA_RUNTIME_PACK", "`0`: no pack is used", "packs are used", "pack.md", "packs"),
    Setting(
        "LAMBDA_RUNTIME_PIPELINE",
        "`0`: the next event is asked for only after the reply to the answer",
        "with the answer",
        "architecture.md",
        "architecture",
    ),
    Setting(
        "LAMBDA_RUNTIME_RESPONSE_MODE",
        "`streaming` or `buffered`",
        "by the request",
        "streaming.md",
        "streaming",
    ),
    Setting(
        "LAMBDA_RUNTIME_TIMEOUT",
        "`raise`: an exception in the handler shortly before its deadline",
        "none",
        "lifecycle.md",
        "lifecycle",
    ),
    Setting(
        "LAMBDA_RUNTIME_TIMEOUT_TRACE_MS",
        "ms before the deadline at which a trace is logged; 0: never",
        "100, at most 5 % of the timeout",
        "lifecycle.md",
        "lifecycle",
    ),
    Setting(
        "LAMBDA_RUNTIME_WATCHDOG_SECONDS",
        "seconds after which a process that hangs is replaced; 0: never",
        "30",
        "managed-instances.md",
        "managed instances",
    ),
    Setting(
        "LAMBDA_RUNTIME_WEBSOCKET_PATH",
        "a path to which WebSocket messages are posted",
        "none",
        "web.md",
        "web",
    ),
)

SWITCHES = (
    Switch(
        "packs: imports from one file",
        "`LAMBDA_RUNTIME_PACK=0`",
        "the cold start takes a third more CPU time (the mean of thirteen functions)",
        "pack.md",
    ),
    Switch(
        "lazy imports, on Python 3.15",
        "off unless `LAMBDA_RUNTIME_LAZY_IMPORTS` is set: remove it",
        "every module is executed in init again",
        "lazy-imports.md",
    ),
    Switch(
        "a transport in C",
        "`LAMBDA_RUNTIME_CORE=python`",
        "a warm invocation takes two fifths more CPU time, some 5 µs",
        "core.md",
    ),
    Switch(
        "a trace shortly before a timeout",
        "`LAMBDA_RUNTIME_TIMEOUT_TRACE_MS=0`",
        "a timeout says nothing of where it was",
        "lifecycle.md",
    ),
    Switch(
        "an exception before the deadline",
        "off unless `LAMBDA_RUNTIME_TIMEOUT` is set: remove it",
        "the handler is killed at its deadline, as on AWS's runtime",
        "lifecycle.md",
    ),
    Switch(
        "a trace of a slow init",
        "`LAMBDA_RUNTIME_INIT_TRACE_MS=0`",
        "an init that takes too long says nothing of where it was",
        "lifecycle.md",
    ),
    Switch(
        "the answer and the request for the next event in one `send`",
        "`LAMBDA_RUNTIME_PIPELINE=0`",
        "for each invocation a `send`, a `recv` and the wait for Lambda's reply to the answer",
        "architecture.md",
    ),
    Switch(
        "streamed answers of web applications",
        "`LAMBDA_RUNTIME_RESPONSE_MODE=buffered`",
        "the first byte comes with the last; 6 MB at most",
        "streaming.md",
    ),
    Switch(
        "web applications as handlers",
        "name a function as the handler, with an adapter such as Mangum in it",
        "the adapter's own code and import; no streaming",
        "web.md",
    ),
    Switch(
        "how several invocations run at once",
        "`LAMBDA_RUNTIME_CONCURRENCY=processes`: a process for each, as on AWS's runtime",
        "an init and its memory for each process",
        "managed-instances.md",
    ),
    Switch(
        "the watchdog of managed instances",
        "`LAMBDA_RUNTIME_WATCHDOG_SECONDS=0`",
        "a process that hangs keeps its place until the environment ends",
        "managed-instances.md",
    ),
    Switch(
        "the whole runtime, managed layer",
        "remove `AWS_LAMBDA_EXEC_WRAPPER`",
        "all of the above, and what needs it: generators, async and web handlers, hooks",
        "layer.md",
    ),
    Switch(
        "the whole runtime, layer or image",
        "`python3.13` as the function's runtime and no layer; AWS's base image in `FROM`",
        "as above; a deployment instead of a setting",
        "container.md",
    ),
)


def settings_table() -> str:
    """The settings in Markdown."""
    rows = [
        f"| `{each.name}` | {each.value} | {each.default} | [{each.title}]({each.page}) |\n"
        for each in SETTINGS
    ]
    return "| Variable | Value | Default | More |\n|---|---|---|---|\n" + "".join(rows)


def switches_table() -> str:
    """The switches in Markdown."""
    rows = [
        f"| [{each.invention}]({each.page}) | {each.off} | {each.cost} |\n" for each in SWITCHES
    ]
    return "| Invention | Without it | What that costs |\n|---|---|---|\n" + "".join(rows)


def written(page: str) -> str:
    """The page with both tables as they are defined here."""
    for name, table in (("settings", settings_table()), ("switches", switches_table())):
        begin, end = f"<!-- {name}: {_HINT} -->\n", f"<!-- end of {name} -->\n"
        head, found, rest = page.partition(begin)
        if not found or end not in rest:
            raise ValueError(f"{PAGE.name} has no place for the table {name!r}: {begin.strip()}")
        page = head + begin + "\n" + table + "\n" + end + rest.partition(end)[2]
    return page


def main() -> int:
    """Write the page."""
    PAGE.write_text(written(PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
