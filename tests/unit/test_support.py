"""What the tests themselves lean on."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

START = """
import subprocess, sys
from support import signals
signals.heed()
tell = "import signal; print(repr(signal.getsignal({0})), {0} in signal.pthread_sigmask(0, ()))"
print(subprocess.check_output([sys.executable, "-c", tell.format(sys.argv[1])], text=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD])
def test_signals_are_heeded_by_what_tests_start_in_the_background(number: signal.Signals) -> None:
    def ignore() -> None:
        signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [number])

    seen = subprocess.run(
        [sys.executable, "-c", START, str(int(number))],
        env={"PYTHONPATH": str(TESTS)},
        preexec_fn=ignore,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    handler = "function default_int_handler" if number == signal.SIGINT else "Handlers.SIG_DFL"
    assert handler in seen
    assert seen.strip().endswith("False")
