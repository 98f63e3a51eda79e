"""Writes a page that shows the cost of init's imports, with byte-code and with the pack."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")
_WIDTH, _ROW, _LEAST = 1180, 18, 0.4
_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: right }
td:first-child, th:first-child { text-align: left } tr:nth-child(even) { background: #f4f4f4 }
svg text { font: 11px system-ui, sans-serif; pointer-events: none } .left { text-align: left }
"""


@dataclass
class Import:
    """One module's import: its own microseconds, the total with its imports, and these imports."""

    name: str
    own: int
    total: int
    parts: "list[Import]" = field(default_factory=list)

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.name.partition(".")[0]


def parse(lines: Iterable[str]) -> list[Import]:
    """The imports in the output of ``python -X importtime``: a line comes after its parts."""
    waiting: dict[int, list[Import]] = {}
    for line in lines:
        if (found := _LINE.match(line)) is None:
            continue
        depth = len(found[3]) // 2
        parts = waiting.pop(depth + 1, [])
        made = Import(found[4], int(found[1]), int(found[2]), parts)
        waiting.setdefault(depth, []).append(made)
    return [root for depth in sorted(waiting) for root in waiting[depth]]


def of_function(imports: list[Import]) -> list[Import]:
    """The imports without the runtime's own."""
    return [one for one in imports if one.package not in ("lambda_runtime", "site", "encodings")]


def walk(imports: list[Import]) -> Iterator[Import]:
    """Each import, followed by all imports within it."""
    for one in imports:
        yield one
        yield from walk(one.parts)


def total(imports: list[Import]) -> int:
    """The microseconds of all these imports."""
    return sum(one.total for one in imports)


def by_package(imports: list[Import]) -> dict[str, int]:
    """For each top-level package, the sum of its modules' own microseconds."""
    times: dict[str, int] = {}
    for one in walk(imports):
        times[one.package] = times.get(one.package, 0) + one.own
    return times


def flame(imports: list[Import], full: int) -> str:
    """The imports as SVG, the widest row ``full`` microseconds long."""
    boxes: list[str] = []
    depth = _draw(imports, 0.0, 0, _WIDTH / max(full, 1), boxes)
    height = (depth + 1) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}">{"".join(boxes)}</svg>'
    )


def _draw(imports: list[Import], x: float, depth: int, scale: float, boxes: list[str]) -> int:
    deepest = depth
    for one in imports:
        width = one.total * scale
        if width >= _LEAST:
            boxes.append(_box(one, x, depth * _ROW, width))
            deepest = max(deepest, _draw(one.parts, x, depth + 1, scale, boxes))
        x += width
    return deepest


def _box(one: Import, x: float, y: float, width: float) -> str:
    colour = sum(map(ord, one.package)) * 47 % 360  # a package has one colour in both pictures
    tip = f"{one.name}: {one.total / 1000:.1f} ms, of its own {one.own / 1000:.1f} ms"
    label = one.name[: int(width / 7)] if width > 30 else ""
    return (
        f'<g><title>{escape(tip)}</title><rect x="{x:.1f}" y="{y:.0f}" width="{width:.1f}" '
        f'height="{_ROW - 1}" fill="hsl({colour} 55% 75%)"/>'
        f'<text x="{x + 3:.1f}" y="{y + 13:.0f}">{escape(label)}</text></g>'
    )


def write(
    path: Path, title: str, before: list[Import], after: list[Import], written: dict[str, Any]
) -> None:
    """Write the page."""
    times = [total(before), total(after)]
    full = max(times)
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>
<h1>{escape(title)}</h1>
<p>What init imports take on this machine, in time on the clock, files cached, the shortest of a few
runs. Point at a box to
read its times. What is not imported but computed in a module is that module's own time.</p>
<h2>With byte-code: {times[0] / 1000:.0f} ms</h2>{flame(before, full)}
<h2>With the pack: {times[1] / 1000:.0f} ms</h2>{flame(after, full)}
<h2>By package</h2>{_table(before, after, written)}
<h2>What is in it</h2>{_sizes(written)}
<h2>Left out</h2>{_left_out(written)}
</html>
"""
    path.write_text(page)


def _table(before: list[Import], after: list[Import], written: dict[str, Any]) -> str:
    old, new = by_package(before), by_package(after)
    bytes_of: dict[str, int] = {}
    for name, size in written["sizes"].items():
        top = name.partition(".")[0]
        bytes_of[top] = bytes_of.get(top, 0) + size
    rows = [
        f"<tr><td>{escape(name)}<td>{old.get(name, 0) / 1000:.1f}<td>{new.get(name, 0) / 1000:.1f}"
        f"<td>{bytes_of.get(name, 0) / 1000:.0f}"
        for name in sorted({*old, *new}, key=lambda name: -old.get(name, 0))
    ]
    head = "<tr><th>package<th>byte-code, ms<th>pack, ms<th>in the pack, kB"
    return f"<table>{head}{''.join(rows)}</table>"


def _sizes(written: dict[str, Any]) -> str:
    code = written["bytecode"]
    lines = [
        f"the pack: {written['bytes']:,} bytes, {len(written['modules'])} modules, of which "
        f"{len(written['early'])} are for init and {len(written['late'])} for the first invocation",
        f"byte-code beside {code['files']} sources: {code['bytes']:,} bytes; "
        f"{code['left_out']} were left out for size, {code['not_compiled']} do not compile",
        *(f"{name}: {count}" for name, count in written["aids"].items()),
    ]
    return f"<ul>{''.join(f'<li>{escape(line)}' for line in lines)}</ul>"


def _left_out(written: dict[str, Any]) -> str:
    reasons: dict[str, list[str]] = {}
    for name, reason in written["left_out"].items():
        reasons.setdefault(reason, []).append(name)
    rows = [
        f'<tr><td>{escape(reason)}<td class="left">{escape(", ".join(sorted(names)))}'
        for reason, names in sorted(reasons.items())
    ]
    return f"<table>{''.join(rows)}</table>"


def explain(name: str, written: dict[str, Any]) -> str:
    """A sentence that says where the module comes from."""
    if name in written["left_out"]:
        return f"{name} is not in the pack, and imported as usual: {written['left_out'][name]}"
    if name not in written["modules"]:
        return f"{name} was imported neither by init nor by the events, so it is not in the pack"
    file, kind, _, source = written["modules"][name]
    when = "init" if name in written["early"] or kind & 2 else "the first invocation"
    if kind & 4:
        owner = "the standard library, used with this build of Python only"
    elif source is not None:
        owner = "your own, compared with the hash of its source each time"
    else:
        owner = f"installed by {written['owners'].get(file, 'a distribution')}, trusted as a whole"
    what = "is searched for no more" if kind & 2 else "comes out of the pack"
    return f"{name} ({file}) {what}, for {when}: {owner}"
