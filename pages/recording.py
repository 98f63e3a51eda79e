"""Records a developer's minute with the emulator as a picture: ``python -m pages.recording``.

The commands are run, and what they print is drawn. The picture is docs/emulator.svg.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/emulator.svg"

_CODE = """def handler(event, context):
    print("greeting", event["name"])
    return {"message": f"Hello, {event['name']}!"}
"""
_SECONDS = 30.0
_COLUMNS = 100
_LINE = 18
_CHARACTER = 7.8


class Terminal:
    """What is seen in a terminal: the commands, and what each prints, in this order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def type(self, command: str) -> None:
        """Show a command as the developer types it."""
        self.lines += ["", f"$ {command}"] if self.lines else [f"$ {command}"]

    def show(self, text: str) -> None:
        """Show output, each line cut to the terminal's width."""
        for line in text.splitlines():
            line = line.rstrip().replace("\t", "  ")
            self.lines.append(f"{line[: _COLUMNS - 1]}…" if len(line) > _COLUMNS else line)


def record() -> Terminal:
    """Run the commands. Raises RuntimeError if one does not do what the picture is to show."""
    shown = Terminal()
    with tempfile.TemporaryDirectory() as name:
        app = Path(name) / "app.py"
        app.write_text(_CODE)
        shown.type("lambda-emulator dev app.handler")
        with _running(name, "dev", "app.handler") as printed:
            endpoint = _wait_for(printed, r"AWS_ENDPOINT_URL_LAMBDA=(\S+)")
            for greeting in ("Hello", "Good morning"):
                if greeting != "Hello":
                    shown.type("sed -i 's/Hello/Good morning/' app.py")
                    app.write_text(_CODE.replace("Hello", greeting))
                    _wait_for(printed, "(reloaded in .*)")
                _show_new(shown, printed)
                shown.type("""lambda-emulator invoke function --event '{"name": "Ada"}'""")
                event = ("invoke", "function", "--event", '{"name": "Ada"}')
                done = _run(name, *event, AWS_ENDPOINT_URL_LAMBDA=endpoint)
                if greeting not in done:
                    raise RuntimeError(f"the function answered {done}")
                shown.show(done)
                _wait_for(printed, "(REPORT)")
                _show_new(shown, printed)
    return shown


def _environment(**variables: str) -> dict[str, str]:
    path = {"PYTHONPATH": str(ROOT / "emulator"), "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **path, **variables}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lambda_emulator", *arguments]


def _run(folder: str, *arguments: str, **variables: str) -> str:
    done = subprocess.run(
        _command(*arguments),
        cwd=folder,
        env=_environment(**variables),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    return done.stdout + done.stderr


@contextlib.contextmanager
def _running(folder: str, *arguments: str) -> Iterator[list[str]]:
    """A command that goes on; the list has the lines that it prints."""
    process = subprocess.Popen(
        _command(*arguments),
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    printed: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda out: printed.extend(out), args=(process.stdout,))
    reader.start()
    try:
        yield printed
    finally:
        process.terminate()
        process.wait(_SECONDS)
        reader.join(_SECONDS)


def _wait_for(printed: list[str], pattern: str) -> str:
    end = time.monotonic() + _SECONDS
    while (found := re.search(pattern, "".join(printed))) is None:
        if time.monotonic() > end:
            raise RuntimeError(f"{pattern} was not printed: {printed}")
        time.sleep(0.05)
    time.sleep(0.2)  # the rest of the line, and those that belong to it
    return found[1]


def _show_new(shown: Terminal, printed: list[str]) -> None:
    """Show what the emulator has printed since the last time."""
    shown.show("".join(printed))
    printed.clear()


def draw(lines: list[str]) -> str:
    """The lines as a terminal's window, in SVG."""
    width, height = int(_COLUMNS * _CHARACTER) + 40, len(lines) * _LINE + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        "<title>lambda-emulator dev: a function is run, edited and reloaded</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#1b1f27"/>',
        '<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="13" '
        'fill="#d5dae3" xml:space="preserve">',
    ]
    for number, line in enumerate(lines):
        color = ' fill="#7fd48b"' if line.startswith("$ ") else ""
        top = 40 + number * _LINE
        parts.append(f'<text x="20" y="{top}"{color}>{escape(line)}</text>')
    return "\n".join([*parts, "</g>", "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(record().lines))
