"""Runs the subjects in turn, round by round, and collects their figures."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import events
from benchmarks.figures import Figures, read_figures
from benchmarks.scenarios import Scenario
from benchmarks.subjects import Subject
from benchmarks.toolchain import BenchmarkError

RUN_SECONDS = 120
"""Time limit of one run. The slowest takes a few seconds."""

Progress = Callable[[str], None]
Runs = dict[str, list[Figures]]
"""The figures of each round, by subject. All subjects have the same rounds."""


@dataclass(frozen=True)
class Bench:
    """The stub, and a folder for the events and answers."""

    stub: Path
    folder: Path
    many: Path | None = None
    """The stub for several invocations at once."""

    def run(self, scenario: Scenario, subject: Subject) -> Figures:
        """Run one subject once.

        Raises BenchmarkError if the subject fails, gives a wrong answer or loses output.
        """
        handler = subject.handler or f"{scenario.module}.handler"
        done = subprocess.run(
            [*self._arguments(scenario, subject), *subject.argv(handler)],
            capture_output=True,
            text=True,
            env=subject.environment(handler),
            cwd=subject.cwd,
            timeout=RUN_SECONDS + 10,
        )
        if done.returncode:
            raise BenchmarkError(f"{subject.name}, {scenario.name}: {done.stderr.strip()}")
        figures = read_figures(json.loads(done.stdout))
        if subject.speaks and scenario.mode != "count":
            self._check(scenario, subject, figures)
        return figures

    def write_event(self, scenario: Scenario) -> None:
        """Write the scenario's event to the file that ``run`` reads."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._event(scenario).write_bytes(events.encode(scenario.event()))

    def _event(self, scenario: Scenario) -> Path:
        return self.folder / f"{scenario.name.replace(' ', '-')}.json"

    @property
    def _answer(self) -> Path:
        return self.folder / "answer.json"

    def _arguments(self, scenario: Scenario, subject: Subject) -> list[str]:
        if not subject.speaks:
            mode = {"serve": "exit", "count": "count-exit"}[scenario.mode]
            return [str(self.stub), mode, str(RUN_SECONDS)]
        numbers = (scenario.invocations, scenario.settle, RUN_SECONDS)
        run = (str(self._event(scenario)), str(self._answer), *map(str, numbers))
        if scenario.mode == "many":
            return [str(self.many), *run, str(scenario.polls)]
        how = ("pause", str(scenario.pause_ms)) if scenario.pause_ms else (scenario.mode,)
        return [str(self.stub), *how, *run]

    def _check(self, scenario: Scenario, subject: Subject, figures: Figures) -> None:
        event = json.loads(self._event(scenario).read_bytes())
        answer, length = self._answer.read_bytes(), int(figures["body_bytes"])
        if wrong := scenario.verify(event, answer, length):
            raise BenchmarkError(f"{subject.name}, {scenario.name}: {wrong}")
        if figures["output_lines"] < scenario.output_lines:
            raise BenchmarkError(
                f"{subject.name}, {scenario.name}: only {figures['output_lines']:.0f} of"
                f" {scenario.output_lines} lines were written before the answer"
            )


def measure(
    bench: Bench, scenario: Scenario, subjects: Sequence[Subject], progress: Progress
) -> Runs:
    """Run all rounds of a scenario. Each round starts with a different subject.

    Raises BenchmarkError if a subject fails.
    """
    taking_part = [
        subject
        for subject in subjects
        if subject.name in scenario.subjects and subject.task == scenario.task
    ]
    runs: Runs = {subject.name: [] for subject in taking_part}
    bench.write_event(scenario)
    for subject in taking_part:  # not measured: it brings the files into the page cache
        bench.run(scenario, subject)
    for number in range(scenario.rounds):
        progress(f"{scenario.name}: round {number + 1} of {scenario.rounds}")
        shift = number % len(taking_part)
        for subject in taking_part[shift:] + taking_part[:shift]:
            runs[subject.name].append(bench.run(scenario, subject))
    return runs
