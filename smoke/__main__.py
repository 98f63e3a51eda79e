"""`make aws-smoke`: cold starts in your own AWS account, beside AWS's runtime, in one table.

It says what it creates and what it costs, asks, and removes everything at the end, also after
Ctrl-C. The exit status is 0, 1 if something failed or is left, 2 if you did not agree, 130 after
Ctrl-C.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
from pathlib import Path

from layer.errors import LayerError
from smoke import plan
from smoke.account import FAILURES, PREFIX, Account
from smoke.artefacts import Artefacts
from smoke.plan import ARCHITECTURES, MEMORIES, SUBJECTS, Plan, Subject
from smoke.table import Key, Start, render, start_of


def main() -> int:
    """Run; see above for the exit status."""
    options = _parser().parse_args()
    name = f"{PREFIX}-{secrets.token_hex(4)}"
    try:
        account = Account(options.region, name)
        if options.remove:
            return _tell_what_is_left(account.remove(f"{PREFIX}-"))
        chosen = tuple(each for each in SUBJECTS if each.name in (options.only or _NAMES))
        run = Plan(chosen, options.starts, account.region, name)
        print(run.announcement(account.identity()), flush=True)
    except FAILURES as error:
        print(f"aws-smoke: {error}", file=sys.stderr)
        return 1
    if not (options.yes or _agreed()):
        print("aws-smoke: nothing was done", file=sys.stderr)
        return 2
    return _measured_and_removed(run, account)


_NAMES = tuple(each.name for each in SUBJECTS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make aws-smoke", description=__doc__)
    parser.add_argument("--region", default="", help="by default that of your AWS settings")
    parser.add_argument("--only", action="append", choices=_NAMES, help="by default all of them")
    parser.add_argument("--starts", type=int, default=plan.STARTS, help="cold starts of each")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--remove", action="store_true", help="remove what killed runs have left")
    return parser


def _agreed() -> bool:
    if not sys.stdin.isatty():
        print("aws-smoke: --yes agrees where nobody can be asked", file=sys.stderr)
        return False
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")


def _measured_and_removed(run: Plan, account: Account) -> int:
    # `kill` ends the run as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    status, starts = 0, dict[Key, list[Start]]()
    try:
        with tempfile.TemporaryDirectory(prefix="aws-smoke-") as folder:
            _measure(run, account, Artefacts(Path(folder)), starts)
    except (*FAILURES, LayerError) as error:
        print(f"aws-smoke: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        status = 130
    finally:
        # The removing is not to be broken off: it takes seconds.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        print("removing everything", file=sys.stderr, flush=True)
        left = account.remove()
    if starts:
        print(render(run.subjects, starts), end="")
    return _tell_what_is_left(left) or status


def _tell_what_is_left(left: list[str]) -> int:
    for line in left:
        print(f"aws-smoke: not removed: {line}", file=sys.stderr)
    if left:
        print("aws-smoke: make aws-smoke ARGS=--remove tries again", file=sys.stderr)
    return 1 if left else 0


def _measure(
    run: Plan, account: Account, artefacts: Artefacts, starts: dict[Key, list[Start]]
) -> None:
    role = account.create_role()
    layers: dict[tuple[str, str], str] = {}
    for subject, architecture in run.functions:
        name = f"{run.name}-{subject.name}-{architecture}"
        print(f"{subject.title}, {architecture}", file=sys.stderr, flush=True)
        code = _code(subject, architecture, account, artefacts, layers)
        account.create_function(name, subject, architecture, role, **code)
        for memory in MEMORIES:
            found = starts.setdefault((subject.name, architecture, memory), [])
            for number in range(run.starts):
                found.append(start_of(account.cold_start(name, subject, memory, number)))


def _code(
    subject: Subject,
    architecture: str,
    account: Account,
    artefacts: Artefacts,
    layers: dict[tuple[str, str], str],
) -> dict[str, object]:
    """What create_function is to be told of the code; layers that are there are not made again."""
    if subject.is_image:
        address = account.push_image(artefacts.image(architecture), architecture)
        return {"Code": {"ImageUri": address}}
    code: dict[str, object] = {
        "Code": {"ZipFile": artefacts.function(subject, architecture).read_bytes()}
    }
    if subject.layer:
        key = subject.layer_key(architecture)
        if key not in layers:
            served = [architecture] if key[1] else list(ARCHITECTURES)
            path = artefacts.layer(subject.layer, architecture)
            layers[key] = account.publish_layer(path, "-".join(filter(None, key)), served)
        code["Layers"] = [layers[key]]
    return code


if __name__ == "__main__":
    sys.exit(main())
