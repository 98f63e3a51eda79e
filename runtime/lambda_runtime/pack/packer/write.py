"""Compiles and writes a pack. Runs in the target's Python, which makes its own byte-code.

python -I -S write.py RUNTIME_HOME < plan (marshalled) > result (marshalled)
"""

import base64
import csv
import hashlib
import os
import re
import sys
import warnings
from marshal import dumps, load
from types import CodeType
from typing import Any

_SECTION_BYTES = 1 << 20
_READ_AHEAD_BYTES = 128 * 1024
_WITH_TABLE = 2
_OPENBLAS = re.compile(rb"lib[\w.+-]*openblas[\w.+-]*\.so")


class Writer:
    """Writes one pack of the folder ``root``; ``deployed`` is its path in Lambda."""

    def __init__(self, root: str, deployed: str, seen: dict[str, Any]) -> None:
        self.root = root
        self.deployed = deployed
        self.seen = seen
        self.lazy: dict[str, list[str]] = {}
        """The names that are to be lazy, by module."""
        self.modules: dict[str, tuple[str, int, int, bytes | None]] = {}
        self.left_out: dict[str, str] = {}
        self.distributions = Distributions(root, self._entries())
        self._codes: dict[str, CodeType] = {}
        self._sources: dict[str, bytes] = {}

    def aids(self, secrets: list[str]) -> dict[str, Any]:
        """The aids that the packed modules can be given."""
        from lambda_runtime.pack.packer import aids

        words = aids.Words(self._sources.values(), secrets)
        seen = self.seen
        kept: dict[str, Any] = {}
        if "re._compiler" in self._codes:
            kept["regexes"] = aids.regexes(seen["regexes"], words)
        if sources := aids.sources(seen["sources"], self._codes, self._sources, words):
            kept["sources"] = sources
        for maker, texts in seen["texts"].items():
            if maker in self._codes:
                kept[maker] = aids.texts(texts, words)
        if "scipy._lib._docscrape" in self._codes:
            kept["docstrings"] = aids.docstrings(seen["docstrings"], words)
        if "botocore.hooks" in self._codes:
            kept["aliases"] = {n: made for n, made in seen["aliases"].items() if words.cover(n)}
        if "botocore.loaders" in self._codes:
            kept["models"] = aids.models(self.root, seen["documents"], seen["listings"])
        return kept

    def _entries(self) -> list[str]:
        """The entries of the recorded ``sys.path`` that lie in the root, relative to it."""
        inside = [os.path.relpath(e, self.root) for e in self.seen["path"] if self._is_inside(e)]
        return ["" if entry == "." else entry for entry in inside]

    def _is_inside(self, path: str) -> bool:
        return f"{path}/".startswith(f"{self.root}/")

    def collect(self) -> None:
        """Decide for every recorded module whether to pack it, and compile it if so."""
        for name, (origin, places) in self.seen["modules"].items():
            reason = self._take(name, origin, places)
            if reason:
                self.left_out[name] = reason

    def _take(self, name: str, origin: str, places: list[str] | None) -> str:
        """Take the module into the pack. Returns "", or the reason why not."""
        from lambda_runtime.pack import finder, format

        kind = finder.PACKAGE if places is not None else 0
        if self._is_inside(origin):
            file = os.path.relpath(origin, self.root)
        elif origin.startswith(f"{self.seen['stdlib']}/") and "site-packages" not in origin:
            file, kind = os.path.relpath(origin, self.seen["stdlib"]), kind | finder.STDLIB
        else:
            return "built in" if "/" not in origin else "outside the folder that is packed"
        if not _is_usual(name, origin, places):
            return "its place is not where its name says"
        if not origin.endswith(".py"):
            if kind & finder.PACKAGE or not origin.endswith(".so"):
                return "neither source nor a plain extension module"
            if not kind & finder.STDLIB and self.distributions.owner(file) is None:
                return "an extension module of no distribution"
            kind |= finder.EXTENSION | (finder.SPINNING if _needs_openblas(origin) else 0)
            self.modules[name] = (file, kind, 0, None)
            return ""
        with open(origin, "rb") as source_file:
            source = source_file.read()
        trusted = kind & finder.STDLIB or self.distributions.is_genuine(file, source)
        path = origin if kind & finder.STDLIB else f"{self.deployed}/{file}"
        self._codes[name] = self._compile(name, source, path)
        self._sources[name] = source
        self.modules[name] = (file, kind, 0, None if trusted else format.hash_source(source))
        return ""

    def _compile(self, name: str, source: bytes, path: str) -> CodeType:
        from lambda_runtime.pack.packer.lazy import compile_lazily

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if wanted := self.lazy.get(name):
                return compile_lazily(source, path, wanted.__contains__, lambda *_: True)[0]
            return compile(source, path, "exec", dont_inherit=True)

    def write(
        self,
        output: str,
        machine: str,
        title: str,
        aids: dict[str, Any],
        lazy: dict[str, Any] | None,
        at_end: list[str],
        kept: list[Any],
    ) -> dict[str, Any]:
        """Write the pack, and return a report about it."""
        from lambda_runtime.pack import format

        init = self.seen["init"] or list(self.seen["modules"])
        early = [name for name in init if name in self._codes]
        late = [name for name in self._codes if name not in set(early)]
        blobs = [dumps(part) for part in self._split(early)]
        documents, listings = aids.pop("models", ({}, {}))
        if documents:
            places = {path: len(blobs) + number for number, path in enumerate(documents)}
            blobs += documents.values()
            aids["models"] = (places, listings)
        for parsed in aids.pop("docstrings", ()):
            places = aids.setdefault("docstrings", {})
            places |= dict.fromkeys(parsed, len(blobs))
            blobs.append(dumps(parsed))
        aid_at = len(blobs)
        blobs += [dumps(aid) for aid in aids.values()]
        init_count = len(blobs)
        blobs += [dumps(part) for part in self._split(late, len(blobs))]
        index: dict[str, Any] = {
            "root": self.deployed,
            "distributions": self.distributions.present(),
            "beside": self.distributions.beside(),
            "stdlib": (sys.version, self.seen["stdlib"]),
            "modules": {n: self.modules[n] for n in (*init, *self.modules) if n in self.modules},
            "sections": [(0, len(blob), format.checksum(blob)) for blob in blobs],
            "aids": {name: aid_at + n for n, name in enumerate(aids)},
            "makers": list(aids.get("sources", ())),
            "read_ahead": self._libraries(),
            "lazy": lazy,
            "at_end": at_end,
            "kept": kept,
        }
        # marshal writes all numbers below 2 ** 31 in the same length, so the size stays the same.
        at = start = format.HEAD + len(dumps(index))
        for number, (_, size, checksum) in enumerate(index["sections"]):
            index["sections"][number] = (at, size, checksum)
            at += size
        data = dumps(index)
        assert format.HEAD + len(data) == start
        init_size = format.HEAD + len(data) + sum(map(len, blobs[:init_count]))
        file_size = format.HEAD + len(data) + sum(map(len, blobs))
        magic = int.from_bytes(_magic(), "little")
        key = format.key_of(sys.implementation.cache_tag, magic, sys.flags.optimize, machine)
        name = f"{sys.implementation.cache_tag}-{machine}{title}.pack"
        os.makedirs(output, exist_ok=True)
        with open(f"{output}/{name}.part", "wb") as file:
            file.write(b"".join((format.write_head(key, file_size, init_size, data), data, *blobs)))
        os.replace(f"{output}/{name}.part", f"{output}/{name}")
        return {
            "file": f"{output}/{name}",
            "bytes": file_size,
            "modules": self.modules,
            "early": early,
            "late": late,
            "left_out": self.left_out,
            "touched": self._touched(),
            "owners": {file: self.distributions.owner(file) for file, *_ in self.modules.values()},
            "aids": {name: _count(aid) for name, aid in aids.items()},
            "sizes": {name: len(dumps(code)) for name, code in self._codes.items()},
        }

    def _touched(self) -> list[str]:
        """The files below the root that were opened, imported or mapped."""
        origins = [origin for origin, _ in self.seen["modules"].values()]
        touched = [*origins, *self.seen["libraries"], *self.seen["opened"]]
        folder = f"{self.root}/"
        absolute = (path if path.startswith("/") else folder + path for path in touched)
        return sorted({path for path in absolute if path.startswith(folder)})

    def _split(self, names: list[str], first: int = 0) -> list[dict[str, CodeType]]:
        """The code of these modules in parts; sets the section number of each module."""
        parts: list[dict[str, CodeType]] = []
        size = _SECTION_BYTES
        for name in names:
            if size >= _SECTION_BYTES:
                parts.append({})
                size = 0
            size += len(dumps(self._codes[name]))
            parts[-1][name] = self._codes[name]
            file, kind, _, source = self.modules[name]
            self.modules[name] = (file, kind, first + len(parts) - 1, source)
        return parts

    def _libraries(self) -> list[str]:
        """The extension modules and libraries that are large enough to read ahead."""
        inside = (path for path in self.seen["libraries"] if self._is_inside(path))
        large = (path for path in inside if os.path.getsize(path) >= _READ_AHEAD_BYTES)
        return [os.path.relpath(path, self.root) for path in large]


class Distributions:
    """The installers' lists of files below the root: the RECORD of each ``.dist-info`` folder."""

    def __init__(self, root: str, entries: list[str]) -> None:
        self._files: dict[str, tuple[str, str, str]] = {}
        self._trusted: dict[str, set[str]] = {}
        self._folders: dict[str, list[str]] = {}
        for entry in dict.fromkeys(entries):
            folder = os.path.join(root, entry) if entry else root
            for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
                if name.endswith(".dist-info"):
                    self._folders.setdefault(entry, []).append(name)
                    self._read(folder, entry, name)

    def _read(self, folder: str, entry: str, name: str) -> None:
        try:
            with open(f"{folder}/{name}/RECORD", newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
        except (OSError, ValueError):
            return
        for row in rows:
            if len(row) == 3:
                path = os.path.normpath(os.path.join(entry, row[0]))
                self._files[path] = (entry, name, row[1])

    def owner(self, file: str) -> str | None:
        """The distribution of this file, None if it has none. The pack then relies on it."""
        found = self._files.get(file)
        if found is None:
            return None
        self._trusted.setdefault(found[0], set()).add(found[1])
        return found[1]

    def is_genuine(self, file: str, data: bytes) -> bool:
        """Whether the file is byte by byte the one that a distribution installed."""
        found = self._files.get(file)
        if found is None or not found[2].startswith("sha256="):
            return False
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        return digest == found[2].removeprefix("sha256=") and self.owner(file) is not None

    def present(self) -> dict[str, list[str]]:
        """By entry, the ``.dist-info`` folders that must exist for the pack to be valid."""
        return {entry: sorted(names) for entry, names in sorted(self._trusted.items())}

    def beside(self) -> dict[str, list[str]]:
        """By entry, other ``.dist-info`` folders of these distributions, such as leftovers."""
        return {
            entry: [
                name
                for name in self._folders[entry]
                if name not in trusted
                and name.partition("-")[0] in {other.partition("-")[0] for other in trusted}
            ]
            for entry, trusted in sorted(self._trusted.items())
        }


def _needs_openblas(path: str) -> bool:
    """Whether the extension module is linked with OpenBLAS, as NumPy's and SciPy's are."""
    with open(path, "rb") as file:
        return _OPENBLAS.search(file.read()) is not None


def _count(aid: Any) -> int:
    """How many results an aid holds."""
    if isinstance(aid, tuple):
        return len(aid[0] if isinstance(aid[0], dict) else aid[1])
    return sum(
        len(value[1]) if isinstance(value, tuple) and len(value) == _WITH_TABLE else 1
        for value in aid.values()
    )


def _is_usual(name: str, origin: str, places: list[str] | None) -> bool:
    """Whether the import system would derive this file and search path from the name."""
    tail = name.rpartition(".")[2]
    folder, last = os.path.split(origin)
    if places is not None:
        return places == [folder] and last == "__init__.py" and os.path.basename(folder) == tail
    return last.partition(".")[0] == tail


def _magic() -> bytes:
    from importlib.util import MAGIC_NUMBER

    return MAGIC_NUMBER


def main(home: str) -> None:
    """Read the plan, write the pack, and write the result to standard output."""
    sys.path.insert(0, home)
    plan = load(sys.stdin.buffer)
    if plan["record"] is None:
        from lambda_runtime.pack.packer import static

        seen = static.look(plan["root"], [*plan["imports"], *_module(plan["handler"])])
    else:
        with open(plan["record"], "rb") as file:
            seen = load(file)
    if plan["lazy"]:
        seen["modules"] = plan["modules"] | seen["modules"]
    writer = Writer(plan["root"], plan["deployed"], seen)
    writer.lazy = {name: names for name, (names, _) in (plan["lazy"] or {}).items()}
    writer.collect()
    aids = writer.aids(plan["secrets"])
    place = (plan["output"], plan["machine"], plan["title"])
    result = writer.write(*place, aids, plan["lazy"], plan["at_end"], plan["kept"])
    from lambda_runtime.pack.packer import bytecode

    def may_trust(file: str, data: bytes) -> bool:
        # Another layer may lie over this one, and bring other sources.
        return bool(plan["handler"]) and writer.distributions.is_genuine(file, data)

    packed = {file for file, kind, *_ in writer.modules.values() if not kind & 4}
    # A pack that is larger than what may be added is left out: then all of it is for byte-code.
    fits = result["bytes"] <= plan["allowance"]
    allowance = plan["allowance"] - (result["bytes"] if fits else 0)
    result["bytecode"] = bytecode.write(
        plan["root"], plan["deployed"], may_trust, packed, allowance
    )
    sys.stdout.buffer.write(dumps(result, 4))


def _module(handler: str | None) -> list[str]:
    return [handler.rpartition(".")[0].replace("/", ".")] if handler else []


if __name__ == "__main__":
    main(sys.argv[1])
