"""Chooses the aids of a pack from the record. Runs in the target's Python.

An aid is kept only if its input comes from the packed files: they must contain every word of a
pattern or a generated source, and no value of the user's variables may be in it. So nothing from
the environment gets into a pack.
"""

import ast
import os
import pickle
import pickletools
import re
import warnings
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from types import CodeType
from typing import Any

_WORD = re.compile(r"[^\W_]+")
_FUTURES = 0x1FF0000
"""The bits of co_flags that ``from __future__ import`` sets."""
_WATCHED = frozenset(("compile", "exec", "eval"))
_SHORT = 3
_TABLE_BYTES = 1 << 17

Key = tuple[Any, ...]
Recipe = str | tuple[()] | tuple[str, int, int]
Listings = dict[tuple[tuple[str, ...], str], list[str]]
"""botocore's lists of services, by the folders that were searched and the kind of file."""


class Words:
    """All words of the packed sources."""

    def __init__(self, sources: Iterable[bytes], secrets: Iterable[str]) -> None:
        self._known: set[str] = set()
        self._secrets = [secret for secret in secrets if len(secret) > _SHORT]
        for source in sources:
            self._known.update(_WORD.findall(source.decode("utf-8", "replace")))
        parts = {word for secret in self._secrets for word in _WORD.findall(secret)}
        self._foreign = parts - self._known

    def cover(self, text: str | bytes) -> bool:
        """Whether the text can come from the sources alone."""
        if isinstance(text, bytes):
            text = text.decode("latin-1")
        if any(secret in text for secret in self._secrets):
            return False
        return all(self._knows(word) for word in _WORD.findall(text))

    def _knows(self, word: str) -> bool:
        if word in self._foreign:
            return False
        # No source contains composed or numbered names as a whole.
        plain = word.rstrip("0123456789")
        return word in self._known or not plain or plain in self._known


def regexes(recorded: dict[Key, Key], words: Words) -> tuple[int, dict[Key, Key]]:
    """The compiled patterns, by pattern and flags, with the version of the engine."""
    import _sre  # type: ignore[import-not-found]

    kept = {}
    for (pattern, flags), (all_flags, code, *rest) in recorded.items():
        if (
            not all_flags & (re.DEBUG | re.LOCALE)
            and words.cover(pattern)
            and _is_quiet(pattern, flags)
        ):
            kept[pattern, flags] = (all_flags, array("I", code).tobytes(), *rest)
    return _sre.MAGIC, kept


def _is_quiet(pattern: str | bytes, flags: int) -> bool:
    """Whether compiling the pattern gives no warning, which the function would lose."""
    from re import _compiler as compiler  # type: ignore[attr-defined]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compiler.compile(pattern, flags)
        except Warning:
            return False
    return True


def sources(
    recorded: dict[str, list[Key]],
    codes: dict[str, CodeType],
    texts: dict[str, bytes],
    words: Words,
) -> dict[str, tuple[int, dict[Key, CodeType]]]:
    """The code of generated sources, by the module that makes them."""
    kept = {}
    for maker, calls in recorded.items():
        if maker in codes and _is_fit(texts[maker]):
            futures = codes[maker].co_flags & _FUTURES
            if table := _compile_all(calls, futures, words):
                kept[maker] = (futures, table)
    return kept


def _compile_all(calls: list[Key], futures: int, words: Words) -> dict[Key, CodeType]:
    table: dict[Key, CodeType] = {}
    for runner, source, *more in calls:
        if not words.cover(source) or not all(words.cover(m) for m in more if type(m) is str):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                if runner == "compile":
                    filename, mode, flags, dont_inherit, optimize = _complete(more)
                    flags |= 0 if dont_inherit else futures
                    code = compile(source, filename, mode, flags, True, optimize)
                    key: Key = (runner, source, filename, mode, flags, optimize)
                else:
                    text = source.lstrip(" \t") if runner == "eval" else source
                    code = compile(text, "<string>", runner, futures, True)
                    key = (runner, source)
        except (SyntaxError, ValueError, Warning):
            continue
        if isinstance(code, CodeType) and (runner == "compile" or _only_defines(text)):
            table[key] = code
    return table


def _complete(given: list[Any]) -> list[Any]:
    defaults = [None, None, 0, False, -1]
    return [*given, *defaults[len(given) :]]


def _only_defines(source: str) -> bool:
    """Whether executing the source calls no code that could look at the stack."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.decorator_list or any(_calls(part) for part in _evaluated(node.args)):
                return False
        elif _calls(node):
            return False
    return True


def _evaluated(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default)]


def _calls(node: ast.AST) -> bool:
    if isinstance(node, ast.Lambda):
        return any(_calls(part) for part in _evaluated(node.args))
    kinds = (
        ast.Call,
        ast.Attribute,
        ast.Subscript,
        ast.BinOp,
        ast.ClassDef,
        ast.Import,
        ast.ImportFrom,
    )
    return isinstance(node, kinds) or any(_calls(child) for child in ast.iter_child_nodes(node))


def _is_fit(source: bytes) -> bool:
    """Whether the module only calls the built-in functions, always with a namespace."""
    tree = ast.parse(source)
    called = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name = node.func.id
            if name in _WATCHED:
                called.add(node.func)
                if name != "compile" and len(node.args) < 2:
                    return False
        if isinstance(node, ast.FunctionDef) and node.name in _WATCHED:
            return False
    uses = {n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in _WATCHED}
    return uses <= called


def texts(recorded: dict[str, str], words: Words) -> dict[bytes, Recipe]:
    """How to make the results of a function from text to text, by the texts' keys."""
    from lambda_runtime.pack import format

    return {
        format.digest(text): recipe(text, made)
        for text, made in recorded.items()
        if words.cover(text)
    }


def recipe(text: str, made: str) -> Recipe:
    """The shortest way to make a text from another."""
    from lambda_runtime.pack.aids import follow

    if made == text:
        return ()
    for margin in sorted({"", *re.findall(r"(?<=\n)[ \t]+", text)}):
        start = (text.replace(f"\n{margin}", "\n") if margin else text).find(made)
        found = (margin, start, start + len(made))
        if start >= 0 and follow(found, text) == made:
            return found
    return made


def docstrings(recorded: dict[str, bytes], words: Words) -> list[dict[bytes, bytes]]:
    """The parsed docstrings, by their keys, in tables of limited size."""
    from lambda_runtime.pack import format

    tables: list[dict[bytes, bytes]] = []
    room = 0
    for text, parsed in recorded.items():
        if parsed and words.cover(text):
            room -= len(parsed)
            if room < 0:
                tables.append({})
                room = _TABLE_BYTES
            tables[-1][format.digest(text)] = parsed
    return tables


def _pickle(document: Any) -> bytes:
    """The document's pickle, as fast to load as it can be: equal strings in it become one."""
    return pickletools.optimize(pickle.dumps(_share(document, {}), 5))


def _share(value: Any, strings: dict[str, str]) -> Any:
    if type(value) is str:
        return strings.setdefault(value, value)
    if type(value) in (dict, OrderedDict):
        return type(value)((_share(k, strings), _share(v, strings)) for k, v in value.items())
    if type(value) is list:
        return [_share(item, strings) for item in value]
    return value


def models(
    root: str, documents: dict[str, bytes], listings: Listings
) -> tuple[dict[str, bytes], Listings]:
    """botocore's models and the lists of services, by paths relative to the root."""
    prefix = f"{root}/"
    return (
        {
            os.path.relpath(path, root): _pickle(pickle.loads(data))
            for path, data in documents.items()
            if path.startswith(prefix)
        },
        {
            (tuple(os.path.relpath(path, root) for path in places), kind): names
            for (places, kind), names in listings.items()
            if all(path.startswith(prefix) for path in places)
        },
    )
