"""One run of the command over a folder: rehearse, write byte-code and pack, rehearse again."""

import json
import marshal
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambda_runtime.pack import FOLDER
from lambda_runtime.pack.packer import laziness, report, stage
from lambda_runtime.pack.packer.errors import PackError
from lambda_runtime.pack.packer.target import Target

_HERE = Path(__file__).parent
_HOME = _HERE.parents[2]
_GRACE = 30
_TIMED_RUNS = 4
"""How often the report times imports each way. It shows the shortest: others were disturbed."""
_LEAST_GROWTH = 16_000_000
_MB = 1_000_000
_FEW = 5
"""A pack of fewer modules than this takes longer to open than it saves."""


@dataclass(frozen=True)
class Options:
    """The user's options."""

    target: Target
    handler: str | None
    imports: list[str]
    events: list[str]
    layers: list[Path]
    variables: dict[str, str]
    allow_network: bool
    seconds: float
    root: str
    max_growth: float | None
    is_image: bool
    lazy: bool

    @property
    def title(self) -> str:
        """What a layer's pack has in its name: Lambda merges all layers into one folder."""
        return f".{self.imports[0]}" if self.imports else ""


class Build:
    """Packs one folder."""

    def __init__(
        self, options: Options, folder: Path, work: Path, say: Callable[[str], None]
    ) -> None:
        self.options = options
        self.folder = folder
        self.work = work
        self.say = say
        self.touched: list[str] = []
        """The files that init and the events opened; none if the target cannot run here."""

    def run(self) -> dict[str, Any]:
        """Pack the folder, and return what was written. Raises PackError."""
        before = stage.size(self.folder)
        allowance = self._allowance(before)
        record = self.work / "record"
        if self.options.target.runs_here:
            answers = self._rehearse(record, packed=False)
        elif self.options.lazy:
            raise PackError("--lazy: what cannot be run here cannot show what it uses")
        else:
            self.say(
                f"{self.options.target.machine} cannot be run here (that takes qemu-user, and a "
                "Python for it): only what the sources say at their top level is packed, and there "
                "are no aids"
            )
            answers = None
        lazy = None
        if answers is not None and self.options.lazy:
            record, lazy = laziness.settle(self, record, answers)
        written = self._write(record, allowance, lazy, is_static=answers is None)
        if written["bytes"] > allowance:
            self._leave_out_pack(written, "it would add more than may be added")
        elif lazy is None and len(written["modules"]) < _FEW and not self._is_beside(written):
            self._leave_out_pack(written, "there are too few imports for a pack to be faster")
        if answers is not None:
            self._compare(answers)
            self.touched = written["touched"]
        self._summarise(before, written)
        return written

    def _allowance(self, before: int) -> int:
        """The bytes that may be added. Raises PackError if the function is too large already."""
        growth = self.options.max_growth
        wanted = max(before // 4, _LEAST_GROWTH) if growth is None else int(growth * _MB)
        if self.options.is_image:
            return wanted
        return min(wanted, stage.room(self.folder, self.options.layers))

    def _rehearse(self, record: Path, *, packed: bool) -> list[dict[str, Any]]:
        """Run init and the events, and return the answers. Raises PackError if init fails."""
        events = len(self.options.events)
        what = "with the pack" if packed else f"init and {events} event{'s' * (events != 1)}"
        self.say(f"running {what}")
        result = self.observe(record, "packed" if packed else "")
        self._judge(result, record, packed)
        answers: list[dict[str, Any]] = result["answers"]
        return answers

    def observe(
        self, record: Path, mode: str, variables: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Run init and all events once, recorded in ``record``, and return the result."""
        return self._run(["-S"], record, mode, variables or {})

    def _run(
        self, flags: list[str], record: Path, mode: str, variables: dict[str, str]
    ) -> dict[str, Any]:
        script = [str(_HERE / "record.py"), str(record), str(_HOME), mode]
        plan = {
            "command": [*self.options.target.command, *flags, *script],
            "environment": self._environment() | variables,
            "folder": str(self.folder),
            "events": self.options.events,
            "seconds": self.options.seconds,
            "network": self.options.allow_network,
        }
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(_HERE / "rehearsal.py")],
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            timeout=self.options.seconds + _GRACE,
        )
        if done.returncode:
            raise PackError(f"the function could not be started:\n{done.stderr.strip()}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def report(self, path: Path, written: dict[str, Any]) -> None:
        """Write the page that shows how long init's imports take. Raises PackError."""
        if not self.options.target.runs_here:
            raise PackError("--report: what cannot be run here cannot be timed either")
        self.say("timing imports")
        timed: dict[str, list[list[report.Import]]] = {"0": [], "1": []}
        for switch in ("0", "1") * _TIMED_RUNS:
            flags = ["-S", "-X", "importtime"]
            variables = {"LAMBDA_RUNTIME_PACK": switch}
            result = self._run(flags, self.work / "timed", "packed", variables)
            timed[switch].append(report.of_function(report.parse(result["imports"])))
        before, after = (min(runs, key=report.total) for runs in timed.values())
        title = f"The imports of {self.options.handler or ', '.join(self.options.imports)}"
        report.write(path, title, before, after, written)

    def _judge(self, result: dict[str, Any], record: Path, packed: bool) -> None:
        """Raise PackError if init failed; print warnings about the rest."""
        output = "\n".join(result["output"])
        failed = [answer for answer in result["answers"] if answer["kind"] == "init error"]
        if failed or not record.exists():
            reason = failed[0]["body"] if failed else output or "it ended without a word"
            if result["timed_out"]:
                limit = f"it was not over within {self.options.seconds:g} s (--timeout)"
                reason = "\n".join(filter(None, [limit, output]))
            raise PackError(
                f"init failed{' with the pack' * packed}: {reason}\n"
                "What it needs is given with --requirements, --layer, --env and --allow-network"
            )
        if result["timed_out"]:
            raise PackError(
                f"not done within {self.options.seconds:g} s (--timeout); its last lines:\n{output}"
            )
        if packed:
            if "is not used" in output:
                raise PackError(f"the pack was written, but cannot be used:\n{output}")
            return
        for answer in result["answers"]:
            if answer["kind"] == "error":
                self.say(f"an event was answered with an error: {answer['body'][:300]}")
        if not self.options.allow_network and not result["isolated"]:
            self.say(
                "no network namespace is to be had here: connections were refused by an audit "
                "hook, which code in C can get around"
            )

    def _environment(self) -> dict[str, str]:
        """The function's environment: Lambda's variables with made-up values, and the user's."""
        home = self.work / "home"
        home.mkdir(exist_ok=True)
        layers = [f"{layer}/python" for layer in self.options.layers]
        version = f"python{self.options.target.version}"
        layers += [f"{layer}/lib/{version}/site-packages" for layer in layers]
        handler = self.options.handler or "lambda_runtime.pack.packer.imports.handler"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "en_US.UTF-8",
            "HOME": str(home),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(layers),
            "LAMBDA_TASK_ROOT": str(self.folder),
            "_HANDLER": handler,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": "pack",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/pack",
            "AWS_LAMBDA_LOG_STREAM_NAME": "pack",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            # Placeholders, so that SDKs use the same code as in Lambda.
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_SESSION_TOKEN": "example",
            "AWS_EC2_METADATA_DISABLED": "true",
            "LAMBDA_RUNTIME_PACK_IMPORTS": " ".join(self.options.imports),
            "LAMBDA_RUNTIME_PACK_NETWORK": "1" if self.options.allow_network else "0",
            **self.options.variables,
        }

    def _write(
        self, record: Path, allowance: int, lazy: laziness.Lazy | None, *, is_static: bool
    ) -> dict[str, Any]:
        """Let the target's Python write byte-code and pack, and return its report."""
        self.say("writing byte-code and pack")
        plan = {
            "record": None if is_static else str(record),
            "handler": self.options.handler,
            "imports": self.options.imports,
            "root": str(self.folder),
            "deployed": self.options.root,
            "output": str(self.folder / FOLDER),
            "machine": self.options.target.machine,
            "title": self.options.title,
            "secrets": list(self.options.variables.values()),
            "modules": lazy.deferred if lazy else {},
            "lazy": lazy.by_module if lazy else None,
            "at_end": lazy.at_end if lazy else [],
            "kept": lazy.kept if lazy else [],
            "allowance": allowance,
        }
        command = [*self.options.target.command, "-I", "-S", str(_HERE / "write.py"), str(_HOME)]
        done = subprocess.run(
            command,
            input=marshal.dumps(plan, 4),
            capture_output=True,
            # The hash seed decides the order of sets in byte-code.
            env={"PATH": os.defpath, "PYTHONHASHSEED": "0"},
        )
        if done.returncode:
            raise PackError(f"the pack could not be written:\n{done.stderr.decode().strip()}")
        written: dict[str, Any] = marshal.loads(done.stdout)
        return written

    def _compare(self, unpacked: list[dict[str, Any]]) -> None:
        """Check that the packed function runs, and answers like the unpacked one."""
        packed = self._rehearse(self.work / "packed", packed=True)
        if [answer["kind"] for answer in packed] != [answer["kind"] for answer in unpacked]:
            raise PackError(
                f"with the pack the function answers otherwise: {packed}, and without: {unpacked}"
            )
        if packed != unpacked:
            self.say("answers differ from run to run, so they could not be compared")

    def _is_beside(self, written: dict[str, Any]) -> bool:
        """Whether the pack lies beside others: then it would be missed."""
        return len(list(Path(written["file"]).parent.iterdir())) > 1

    def _leave_out_pack(self, written: dict[str, Any], reason: str) -> None:
        """Remove the pack again."""
        path = Path(written["file"])
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
        written["left_out"] |= dict.fromkeys(written["modules"], reason)
        written |= {"bytes": 0, "modules": {}, "early": [], "late": [], "sizes": {}}
        self.say(f"no pack: {reason}")

    def _summarise(self, before: int, written: dict[str, Any]) -> None:
        code = written["bytecode"]
        left_out = f", {code['left_out']} left out for size" if code["left_out"] else ""
        self.say(
            f"a pack of {len(written['modules'])} modules ({_megabytes(written['bytes'])}), "
            f"byte-code beside {code['files']} sources ({_megabytes(code['bytes'])}{left_out}); "
            f"in all {_megabytes(before)} before, {_megabytes(stage.size(self.folder))} now"
        )


def _megabytes(count: int) -> str:
    return f"{count / _MB:.1f} MB"
