"""Finds out which imports may be lazy: those that neither init nor the events use.

It runs the function with all possible imports lazy. Then it makes the imports eager that were used,
and runs the function again, until no lazy import is used, and the answers are the first ones. Last,
it makes the imports eager of which something else has imported the module: they would save nothing.
"""

import marshal
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambda_runtime.pack.packer.errors import PackError
from lambda_runtime.start.lazy_imports import EAGER_FILE, VARIABLE

if TYPE_CHECKING:
    from lambda_runtime.pack.packer.build import Build

    Answers = list[dict[str, Any]]

_ROUNDS = 20
_IDLE_ROUNDS = 6
_BEGIN = "# What init and the events used, as lambda-runtime pack --lazy found it:"


@dataclass
class Lazy:
    """What is lazy in a pack."""

    by_module: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    """By module: its lazy names, and the modules in it that may be missing. Empty on 3.15."""
    deferred: dict[str, tuple[str, list[str] | None]] = field(default_factory=dict)
    """The modules that are not imported any more, and where they are."""
    at_end: list[str] = field(default_factory=list)
    """The modules that events import and that init, when nothing was lazy, had imported."""
    kept: list[Any] = field(default_factory=list)
    """On 3.15, the imports that are lazy: the importing module, the imported one, the names."""


def settle(build: "Build", eager_record: Path, answers: "Answers") -> tuple[Path, Lazy]:
    """The record of the run from which to make the pack, and what is lazy in it.

    Raises PackError if the function does not work with lazy imports.
    """
    if int(build.options.target.version.partition(".")[2]) >= 15:
        return _list_eager(build, eager_record, answers)
    search = _Search(build, eager_record, answers)
    record = search.run()
    summary = _summary(record)
    loaded, states, asked_for = summary["loaded"], summary["lazy"], summary["asked_for"]
    before = _summary(eager_record)["loaded"]
    deferred = {name: place for name, place in before.items() if name not in loaded}
    lazy = Lazy({name: (list(names), []) for name, names in states.items() if names}, deferred)
    for parent, inner in _by_parent([*deferred, *asked_for]).items():
        lazy.by_module.setdefault(parent, ([], []))[1].extend(inner)
    lazy.at_end = _at_end(record, eager_record)
    names = sum(len(names) for names in states.values())
    build.say(f"{names} names are lazy; init and events import {len(deferred)} modules less")
    return record, lazy


def _list_eager(build: "Build", eager_record: Path, answers: "Answers") -> tuple[Path, Lazy]:
    """For Python 3.15, which has lazy imports: list the modules that stay eager."""
    path = build.folder / EAGER_FILE
    own = path.read_text().partition(_BEGIN)[0] if path.exists() else ""
    path.write_text(own)
    search = _Search(build, eager_record, answers)
    record = build.work / "lazy"
    for _ in range(2):  # the second one with the list, as it will be
        build.say("running with lazy imports")
        result = build.observe(record, "lazy", {VARIABLE: "1"})
        if not search.agrees(result["answers"]):
            raise PackError(
                "--lazy: with lazy imports the function answers otherwise; name what it needs in "
                f"{EAGER_FILE}. {_reason(result)}"
            )
        used = _summary(record)["loaded"]
        path.write_text("\n".join(filter(None, [own.rstrip(), _BEGIN, *sorted(used)])) + "\n")
    deferred = {
        name: place for name, place in _summary(eager_record)["loaded"].items() if name not in used
    }
    build.say(f"{EAGER_FILE} lists {len(used)} modules; {len(deferred)} are imported when used")
    return record, Lazy({}, deferred, _at_end(record, eager_record), _summary(record)["kept"])


class _Search:
    def __init__(self, build: "Build", eager_record: Path, answers: "Answers") -> None:
        self._build = build
        self._answers = answers
        self._again: Answers | None = None
        self._eager_record = eager_record
        self._eager: dict[str, set[str]] = {}
        self._packages: set[str] = set()
        self._idle: list[Any] = []
        self._count = 0
        self._modules = _by_parent(_summary(eager_record)["loaded"])

    def run(self) -> Path:
        for _ in range(_ROUNDS):
            record, result = self._try(self._packages)
            states = _summary(record)["lazy"]
            used = _used(states)
            if self.agrees(result["answers"]):
                if not used:
                    return self._without_idle(record)
            elif not used:
                self._packages.add(self._culprit(states, result))
            self._keep_eager(used)
        raise PackError(f"--lazy: after {_ROUNDS} runs other imports are still used each time")

    def _without_idle(self, record: Path) -> Path:
        """The record of a run without lazy imports that save nothing, if it is as good."""
        best = record
        for _ in range(_IDLE_ROUNDS):
            summary = _summary(record)
            self._idle += summary["idle"]
            used = _used(summary["lazy"])
            if not used and not summary["idle"]:
                break
            self._keep_eager(used)
            record, result = self._try(self._packages)
            found = _summary(record)
            more = found["loaded"].keys() - _summary(best)["loaded"].keys()
            if more or not self.agrees(result["answers"]):
                break
            if not _used(found["lazy"]):
                best = record
        return best

    def _keep_eager(self, names: Iterable[tuple[str, str]]) -> None:
        for module, name in names:
            self._eager.setdefault(module, set()).add(name)

    def _try(self, packages: Iterable[str]) -> tuple[Path, dict[str, Any]]:
        self._count += 1
        self._build.say(f"running with lazy imports ({self._count})")
        record = self._build.work / f"lazy-{self._count}"
        eager = {module: sorted(names) for module, names in self._eager.items()}
        plan = {
            "eager": eager,
            "packages": sorted(packages),
            "modules": self._modules,
            "idle": self._idle,
        }
        record.with_name(f"{record.name}.plan").write_bytes(marshal.dumps(plan, 4))
        return record, self._build.observe(record, "lazy")

    def agrees(self, answers: "Answers") -> bool:
        """Whether the function answers the same, as far as its answers do not vary anyway."""
        if [answer["kind"] for answer in answers] != [answer["kind"] for answer in self._answers]:
            return False
        if answers == self._answers:
            return True
        if self._again is None:
            self._again = self._build.observe(self._build.work / "again", "")["answers"]
        three = zip(answers, self._answers, self._again, strict=False)
        return all(answer == first or first != second for answer, first, second in three)

    def _culprit(self, states: dict[str, dict[str, bool]], result: dict[str, Any]) -> str:
        """The package whose imports cannot be lazy. Raises PackError if there is no package left.

        A binary search: if all packages up to this one are eager, the function works.
        """
        names = sorted({module.partition(".")[0] for module in states} - self._packages)
        low, high = 0, len(names)
        while high - low > 1:
            middle = (low + high) // 2
            _, tried = self._try(self._packages | set(names[:middle]))
            low, high = (low, middle) if self.agrees(tried["answers"]) else (middle, high)
        if not names:
            raise PackError(f"--lazy: the function answers otherwise each time. {_reason(result)}")
        self._build.say(f"{names[high - 1]} needs its imports: none of them is lazy")
        return names[high - 1]


def _by_parent(names: Iterable[str]) -> dict[str, list[str]]:
    """The last parts of the modules' names, by package."""
    found: dict[str, list[str]] = {}
    for name in names:
        parent, _, last = name.rpartition(".")
        if parent:
            found.setdefault(parent, []).append(last)
    return found


def _used(states: dict[str, dict[str, bool]]) -> set[tuple[str, str]]:
    """The names, each with its module, that were lazy and have been imported."""
    return {
        (module, name)
        for module, names in states.items()
        for name, is_lazy in names.items()
        if not is_lazy
    }


def _summary(record: Path) -> dict[str, Any]:
    """What ``record.Spy.write`` has written for the packer; nothing if it did not get so far."""
    path = record.with_name(f"{record.name}.summary")
    if not path.exists():
        return {"loaded": {}, "init": [], "lazy": {}, "asked_for": [], "idle": [], "kept": []}
    summary: dict[str, Any] = marshal.loads(path.read_bytes())
    return summary


def _at_end(record: Path, eager_record: Path) -> list[str]:
    """The modules that events import now, and that init did when nothing was lazy."""
    summary, eager_init = _summary(record), set(_summary(eager_record)["init"])
    init = set(summary["init"])
    return [name for name in summary["loaded"] if name not in init and name in eager_init]


def _reason(result: dict[str, Any]) -> str:
    kinds = [answer["body"][:300] for answer in result["answers"] if answer["kind"] != "response"]
    return " ".join(kinds) or "\n".join(result["output"][-3:])
