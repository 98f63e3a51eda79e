"""Gives init the results of pure functions that were computed when the pack was made.

The results are compiled regular expressions, the code of generated source (``dataclasses``,
``namedtuple``, attrs, SQLAlchemy …), texts, parsed docstrings, and botocore's models and aliases. A
lookup needs the whole input, or a long hash of it; without a match, the function computes its
result as usual. This module replaces a function only in a module that comes from the pack itself:
so the same code has made the results.
"""

import builtins
from marshal import dumps, loads

from lambda_runtime.pack import format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    Regexes = dict[tuple[Any, int], tuple[Any, ...]]
    Recipe = str | tuple[()] | tuple[str, int, int]
    """The result itself; nothing, if it is the input; the margin to take off and the part to take.
    """

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


def keep_texts(module: "ModuleType", known: "dict[bytes, Recipe]") -> None:
    """Let the module's function from text to text look up how to make its results."""
    name = TEXT_FUNCTIONS[module.__name__]
    original = getattr(module, name)

    def kept(*arguments: "Any", **keywords: "Any") -> "Any":
        if known and not keywords and len(arguments) == 1 and type(arguments[0]) is str:
            recipe = known.get(format.digest(arguments[0]))
            if recipe is not None:
                return follow(recipe, arguments[0])
        return original(*arguments, **keywords)

    setattr(module, name, _disguise(kept, original))


def follow(recipe: "Recipe", text: str) -> str:
    """Make a text from another: take off the margin of all lines, then take the part."""
    if isinstance(recipe, str):
        return recipe
    if not recipe:
        return text
    margin, start, end = recipe
    if margin:
        text = text.replace(f"\n{margin}", "\n")
    return text[start:end]


def keep_docstrings(
    module: "Any", places: dict[bytes, int], load: "Callable[[int], dict[bytes, bytes]]"
) -> None:
    """Let SciPy's parser of docstrings look up its results, in tables that ``load`` returns.

    Only one table is in memory: they are in the order of use, and large. Each lookup makes new
    objects, as the parser's users change them. A subclass from elsewhere parses as usual.
    """
    parser = module.NumpyDocString
    parse, method = parser.__init__, parser._parse
    sections = loads(dumps(parser.sections))
    classes = [kind for kind in vars(module).values() if isinstance(kind, type)]
    current: tuple[int, dict[bytes, bytes]] = (-1, {})

    def find(docstring: str) -> bytes | None:
        nonlocal current
        key = format.digest(docstring)
        place = places.get(key)
        if place is None:
            if not places:
                current = (-1, {})  # init is over
            return None
        if place != current[0]:
            try:
                current = (place, load(place))
            except (OSError, ValueError):
                places.clear()  # parse all others as usual
        return current[1].get(key)

    def kept(self: "Any", docstring: "Any", config: "Any" = None) -> None:
        found = None
        is_usual = type(self) in classes and parser._parse is method and parser.sections == sections
        if is_usual and type(docstring) is str:
            found = find(docstring)
        if found is None:
            return parse(self, docstring, config)  # type: ignore[no-any-return]
        data, lists, line = loads(found)
        for name in lists:
            data[name] = [module.Parameter(*fields) for fields in data[name]]
        self._doc = module.Reader(module.textwrap.dedent(docstring).split("\n"))
        self._doc._l = line
        self._parsed_data = data
        return None

    parser.__init__ = _disguise(kept, parse)


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


def keep_aliases(module: "Any", known: dict[str, str]) -> None:
    """Let ``botocore.hooks`` look up the aliases of event names, instead of trying all it knows."""
    aliaser = module.EventAliaser
    find, aliases = aliaser._alias_event_name, list(module.EVENT_ALIASES.items())

    def kept(self: "Any", event_name: "Any") -> "Any":
        cache = self._alias_name_cache
        if not known or event_name in cache:
            return find(self, event_name)
        found = known.get(event_name)
        is_usual = type(self) is aliaser and list(self._event_aliases.items()) == aliases
        if found is None or not is_usual or module.logger.isEnabledFor(_DEBUG):
            return find(self, event_name)
        cache[event_name] = found
        return found

    aliaser._alias_event_name = _disguise(kept, find)


def _disguise(replacement: "Any", original: "Any") -> "Any":
    """The replacement, with the names and the signature of the original."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(replacement, name, getattr(original, name))
    vars(replacement).update(vars(original))
    replacement.__wrapped__ = original
    return replacement
