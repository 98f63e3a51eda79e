"""Gives init the results of pure functions that were computed when the pack was made.

The results are compiled regular expressions, the code of generated source (``dataclasses``,
``namedtuple``, attrs, SQLAlchemy …) and botocore's models. A lookup needs the whole input; without
a match, the function computes its result as usual. This module replaces a function only in a module
that comes from the pack itself: so the same code has made the results.
"""

import builtins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    Regexes = dict[tuple[Any, int], tuple[Any, ...]]

_STRINGS = frozenset((str, bytes))
_DEBUG = 10


def keep_regexes(module: "Any", magic: int, known: "Regexes") -> None:
    """Let ``re._compiler`` take known patterns from the pack."""
    import _sre  # type: ignore[import-not-found]

    if magic != _sre.MAGIC:
        return
    compile_pattern, make = module.compile, _sre.compile

    def compile(p: "Any", flags: int = 0) -> object:
        found = known.pop((p, flags), None) if type(p) in _STRINGS else None
        if found is None:
            return compile_pattern(p, flags)
        all_flags, code, *rest = found
        return make(p, all_flags, memoryview(code).cast("I").tolist(), *rest)

    module.compile = _disguise(compile, compile_pattern)


def keep_sources(
    module: "ModuleType", known: "dict[tuple[Any, ...], CodeType]", futures: int
) -> set[str]:
    """Give the module ``compile``, ``exec`` and ``eval`` that know its generated sources.

    Returns the names that it has set: remove them when init is over. ``futures`` are the compiler
    flags of the module's own ``from __future__`` imports, which the built-in functions take over
    from their caller.
    """
    compile_source = builtins.compile

    def compile(
        source: "Any",
        filename: "Any",
        mode: str,
        flags: int = 0,
        dont_inherit: bool = False,
        optimize: int = -1,
        **more: "Any",
    ) -> "Any":
        if not dont_inherit:
            flags |= futures
        if type(source) is str and not more:
            found = known.get(("compile", source, filename, mode, flags, optimize))
            if found is not None:
                return found
        return compile_source(source, filename, mode, flags, True, optimize, **more)

    def run(runner: str, original: "Callable[..., Any]") -> "Callable[..., Any]":
        def run(source: "Any", *rest: "Any", **more: "Any") -> "Any":
            if type(source) is str:
                text = source.lstrip(" \t") if runner == "eval" else source
                found = known.get((runner, source))
                source = found or compile_source(text, "<string>", runner, futures, True)
            return original(source, *rest, **more)

        return run

    replaced: dict[str, Callable[..., Any]] = {"compile": compile}
    replaced |= {name: run(name, getattr(builtins, name)) for name in ("exec", "eval")}
    names = {key[0] for key in known}
    vars(module).update({name: replaced[name] for name in names})
    return names


TEXT_FUNCTIONS = {"inspect": "cleandoc", "textwrap": "dedent"}
"""Functions from text to text that libraries apply to all their documentation."""


def keep_texts(module: "ModuleType", known: dict[str, str]) -> None:
    """Let the module's function from text to text look up its results."""
    name = TEXT_FUNCTIONS[module.__name__]
    original = getattr(module, name)

    def kept(*arguments: "Any", **keywords: "Any") -> "Any":
        if not keywords and len(arguments) == 1 and type(arguments[0]) is str:
            found = known.get(arguments[0])
            if found is not None:
                return found
        return original(*arguments, **keywords)

    setattr(module, name, _disguise(kept, original))


def keep_models(
    module: "Any",
    root: str,
    documents: "dict[str, int]",
    listings: "dict[tuple[tuple[str, ...], str], list[str]]",
    load: "Callable[[int], Any]",
) -> None:
    """Let ``botocore.loaders`` take its models, and their list, from the pack."""
    load_file = module.JSONFileLoader.load_file
    list_services = module.Loader.list_available_services
    prefix = f"{root}/"

    def load_kept(loader: "Any", file_path: str) -> "Any":
        if file_path.startswith(prefix) and not module.logger.isEnabledFor(_DEBUG):
            found = documents.pop(file_path.removeprefix(prefix), None)
            if found is not None:
                try:
                    return load(found)
                except (OSError, ValueError):
                    pass  # read the file itself instead
        return load_file(loader, file_path)

    def list_kept(loader: "Any", type_name: str) -> "Any":
        places = tuple(loader._potential_locations())
        if all(place.startswith(prefix) for place in places):
            inside = tuple(place.removeprefix(prefix) for place in places)
            found = listings.get((inside, type_name))
            if found is not None:
                return loader._cache.setdefault((list_services.__name__, type_name), list(found))
        return list_services(loader, type_name)

    module.JSONFileLoader.load_file = _disguise(load_kept, load_file)
    module.Loader.list_available_services = _disguise(list_kept, list_services)


def _disguise(replacement: "Any", original: "Any") -> "Any":
    """The replacement, with the names and the signature of the original."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(replacement, name, getattr(original, name))
    vars(replacement).update(vars(original))
    replacement.__wrapped__ = original
    return replacement
