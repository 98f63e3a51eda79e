"""Runs in the target's Python, as the function would, and writes down what init does.

    python -S record.py OUTPUT RUNTIME_HOME [packed | lazy]

The environment is that of a function, with the Runtime API of ``rehearsal`` in it. What was seen is
written, marshalled, after init and after every event: so it outlives a function that dies.
"""

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

    Statement = tuple[str, str, tuple[str, ...] | None]
    """An import: the importing module, the imported one, and the names that it takes from it."""

_RUNNERS = ("compile", "exec", "eval")
_PLAIN = (str, bytes, int, bool)
TEXT_FUNCTIONS = {"inspect": "cleandoc", "textwrap": "dedent"}  # as in pack.aids


class Spy:
    """Records every import, as the first finder, and the inputs and results for aids."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.answers = 0
        self.init: list[str] | None = None
        self.found: dict[str, tuple[str, list[str] | None]] = {}
        self.times: dict[str, tuple[float, float]] = {}
        self.regexes: dict[tuple[str | bytes, int], tuple[Any, ...]] = {}
        self.sources: dict[str, list[tuple[Any, ...]]] = {}
        self.texts: dict[str, dict[str, str]] = {}
        self.docstrings: dict[str, bytes] = {}
        self.aliases: dict[str, str] = {}
        self.documents: dict[str, bytes] = {}
        self.listings: dict[tuple[tuple[str, ...], str], list[str]] = {}
        self.opened: set[str] = set()
        self.unfit: set[str] = set()
        self._stack: list[float] = []
        self._searching = False
        self.lazily: Lazily | None = None
        self.lazy: list[Statement] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> "Any":
        """The spec of the other finders, with a loader that this object observes."""
        if self._searching:
            return None
        self._searching = True
        try:
            spec = _ask_others(self, name, path, target)
        finally:
            self._searching = False
        if spec is not None and spec.origin:
            # Copy it now: a module may change its own spec.
            places = spec.submodule_search_locations
            self.found.setdefault(name, (spec.origin, None if places is None else list(places)))
        if spec is not None and type(spec.loader).__name__ == "SourceFileLoader":
            spec.loader = _Observed(spec.loader, self)
        return spec

    def hear(self, event: str, arguments: "tuple[Any, ...]") -> None:
        """Note which files are opened."""
        if event == "open" and isinstance(arguments[0], str):
            self.opened.add(arguments[0])

    def run(self, module: "ModuleType", code: "CodeType") -> None:
        """Execute the module's code, and measure the time."""
        name = module.__name__
        if name in self.found:
            self.found[name] = self.found.pop(name)  # in the order of imports, not of searches
        self._inject(module, code)
        self._stack.append(0.0)
        began = time.process_time()
        try:
            exec(code, vars(module))
        finally:
            total = time.process_time() - began
            within = self._stack.pop()
            self.times.setdefault(name, (total - within, total))
            if self._stack:
                self._stack[-1] += total
        if name == "re._compiler":
            self._watch_regexes(module)
        elif name in TEXT_FUNCTIONS:
            self._watch_texts(module, TEXT_FUNCTIONS[name])
        elif name == "scipy._lib._docscrape":
            self._watch_docstrings(module)
        elif name == "botocore.hooks":
            self._watch_aliases(module)
        elif name == "botocore.loaders":
            self._watch_botocore(module)

    def _inject(self, module: "ModuleType", code: "CodeType") -> None:
        for name in _RUNNERS:
            if name in _names(code):
                vars(module)[name] = self._runner(module.__name__, name)

    def _runner(self, maker: str, runner: str) -> "Callable[..., Any]":
        import builtins

        original = getattr(builtins, runner)
        seen = self.sources.setdefault(maker, [])

        def run(*arguments: "Any", **keywords: "Any") -> "Any":
            source = arguments[0] if arguments else None
            if type(source) is str:
                # Whatever is not plain can be neither written down nor looked up again.
                odd = runner == "compile" and not all(type(a) in _PLAIN for a in arguments)
                if keywords or odd or (runner != "compile" and len(arguments) < 2):
                    self.unfit.add(maker)
                elif runner == "compile":
                    seen.append((runner, source, *arguments[1:]))
                else:
                    seen.append((runner, source))
            if runner != "compile" and len(arguments) == 1 and not keywords:
                frame = sys._getframe(1)
                return original(source, frame.f_globals, frame.f_locals)
            return original(*arguments, **keywords)

        return run

    def _watch_regexes(self, module: "Any") -> None:
        inner, sre = module.compile, module._sre
        flags_given = 0

        class Sre:
            def __getattr__(self, name: str) -> object:
                return getattr(sre, name)

            @staticmethod
            def compile(pattern: "Any", flags: int, *rest: "Any") -> object:
                if type(pattern) in (str, bytes):
                    code, groups, groupindex, indexgroup = rest
                    packed = (int(flags), [int(x) for x in code], groups, dict(groupindex))
                    self.regexes[pattern, flags_given] = (*packed, tuple(indexgroup))
                return sre.compile(pattern, flags, *rest)

        def compile(p: "Any", flags: int = 0) -> object:
            nonlocal flags_given
            flags_given = int(flags)
            return inner(p, flags)

        module._sre, module.compile = Sre(), compile

    def _watch_texts(self, module: "Any", name: str) -> None:
        original, seen = getattr(module, name), self.texts.setdefault(module.__name__, {})

        def spy(*arguments: "Any", **keywords: "Any") -> object:
            result = original(*arguments, **keywords)
            if len(arguments) == 1 and type(arguments[0]) is type(result) is str:
                seen[arguments[0]] = result
            return result

        setattr(module, name, spy)

    def _watch_docstrings(self, module: "Any") -> None:
        import marshal

        parser, warn = module.NumpyDocString, module.warn
        parse = parser.__init__
        sections = marshal.loads(marshal.dumps(parser.sections))
        classes = [kind for kind in vars(module).values() if isinstance(kind, type)]
        has_warned = False

        def spy_warn(*arguments: "Any", stacklevel: int = 1) -> None:
            nonlocal has_warned
            has_warned = True
            warn(*arguments, stacklevel=stacklevel + 1)

        def spy_parse(self: "Any", docstring: "Any", config: "Any" = None) -> None:
            nonlocal has_warned
            has_warned = False
            before = set(vars(self))
            parse(self, docstring, config)
            is_usual = type(self) in classes and parser.sections == sections
            if type(docstring) is not str or has_warned or not is_usual:
                return
            lines = module.textwrap.dedent(docstring).split("\n")
            if set(vars(self)) - before != {"_doc", "_parsed_data"} or self._doc._str != lines:
                return  # there is more to it than pack.aids makes
            data, lists = dict(self._parsed_data), []
            for name, value in data.items():
                if type(value) is list and value and type(value[0]) is module.Parameter:
                    data[name] = [tuple(parameter) for parameter in value]
                    lists.append(name)
            try:
                parsed = marshal.dumps((data, lists, self._doc._l))
            except ValueError:
                parsed = b""  # it has an object of another type
            if seen.setdefault(docstring, parsed) != parsed:
                seen[docstring] = b""  # the result depends on more than the text

        seen = self.docstrings
        module.warn, parser.__init__ = spy_warn, spy_parse

    def _watch_aliases(self, module: "Any") -> None:
        aliaser = module.EventAliaser
        find, aliases = aliaser._alias_event_name, list(module.EVENT_ALIASES.items())

        def spy(self: "Any", event_name: "Any") -> object:
            result = find(self, event_name)
            if type(self) is aliaser and list(self._event_aliases.items()) == aliases:
                seen[event_name] = result
            return result

        seen = self.aliases
        aliaser._alias_event_name = spy

    def _watch_botocore(self, module: "Any") -> None:
        import pickle

        load_file = module.JSONFileLoader.load_file
        list_services = module.Loader.list_available_services

        def spy_load(loader: "Any", path: str) -> object:
            result = load_file(loader, path)
            if result is not None:
                self.documents.setdefault(path, pickle.dumps(result, 5))
            return result

        def spy_list(loader: "Any", type_name: str) -> object:
            result = list_services(loader, type_name)
            places = tuple(loader._potential_locations())
            self.listings[places, type_name] = list(result)
            return result

        module.JSONFileLoader.load_file = spy_load
        module.Loader.list_available_services = spy_list

    def write(self) -> None:
        """Write down everything seen so far."""
        import marshal
        import os

        with open("/proc/self/maps") as maps:
            mapped = [line.split(None, 5)[5].strip() for line in maps if "/" in line]
        seen = {
            "version": sys.version,
            "stdlib": sys._stdlib_dir,  # type: ignore[attr-defined]
            "path": [entry for entry in sys.path if isinstance(entry, str)],
            "init": self.init,
            "answers": self.answers,
            "modules": self.found,
            "order": list(self.times),
            "times": self.times,
            "regexes": self.regexes,
            "sources": {m: s for m, s in self.sources.items() if s and m not in self.unfit},
            "texts": self.texts,
            "docstrings": self.docstrings,
            "aliases": self.aliases,
            "documents": self.documents,
            "listings": self.listings,
            "libraries": list(dict.fromkeys(mapped)),
            "opened": sorted(self.opened),
        }
        # The packer itself reads this, perhaps with another Python.
        summary = {
            "loaded": {name: place for name, place in self.found.items() if _is_users(name)},
            "init": self.init or [],
            "lazy": self.lazily.states() if self.lazily else {},
            "asked_for": sorted(self.lazily.asked_for) if self.lazily else [],
            "idle": self.lazily.idle() if self.lazily else [],
            "kept": [statement for statement in self.lazy if _is_put_off(statement)],
        }
        for path, data in (
            (f"{self.output}.summary", marshal.dumps(summary, 4)),
            (self.output, marshal.dumps(seen)),
        ):
            with open(f"{path}.part", "wb") as file:
                file.write(data)
            os.replace(f"{path}.part", path)


def _is_users(name: str) -> bool:
    """Whether the function has loaded this module. What the runtime loads depends on the time."""
    return name in sys.modules and name.partition(".")[0] != "lambda_runtime"


class _Observed:
    """The found loader, except that the spy executes the code."""

    def __init__(self, loader: "Any", spy: Spy) -> None:
        self._loader = loader
        self._spy = spy

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: "ModuleType") -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        if lazily := self._spy.lazily:
            return self._spy.run(module, lazily.code(module, self._loader))
        self._spy.run(module, self._loader.get_code(module.__name__))


class Lazily:
    """Gives modules their code with lazy imports, before Python 3.15."""

    def __init__(self, handler: str, root: str, plan: "dict[str, Any]") -> None:
        before = set(sys.modules)
        from lambda_runtime.pack import lazy
        from lambda_runtime.pack.packer.lazy import compile_lazily
        from lambda_runtime.start import lazy_imports

        # The function must find no more of the standard library loaded than usual.
        for name in [name for name in sys.modules if name not in before]:
            if not name.startswith("lambda_runtime"):
                del sys.modules[name]
        module, _, function = handler.rpartition(".")
        self.states, self.asked_for = lazy.lazy_modules, lazy.asked_for
        self._compile, self._make_lazy = compile_lazily, lazy.make_lazy
        self._namespace = lazy.namespace_of
        self._is_found = lazy_imports.is_found
        # Compiled code that looks for something in its own package must find it. The runs that
        # follow show whether it looks for something of another package.
        self._may = lazy_imports.make_filter(
            module.replace("/", "."), function, None, (), may_leave_compiled=True
        )
        self._root = f"{root}/"
        self._eager: dict[str, list[str]] = plan["eager"]
        self._packages = frozenset(plan["packages"])
        self._modules: dict[str, list[str]] = plan["modules"]
        self._idle: set[Statement] = set(plan["idle"])
        self._lazy: list[Statement] = []
        for name in self._modules.keys() & sys.modules.keys():
            self._make_lazy(sys.modules[name], (), self._modules[name])

    def code(self, module: "ModuleType", loader: "Any") -> "CodeType":
        """The module's code; also tells the module which of its names are lazy."""
        code, names = self._lazy_code(module, loader) or (loader.get_code(module.__name__), [])
        modules = self._modules.get(module.__name__, [])
        if names or modules:
            self._make_lazy(module, names, modules)
        return code

    def _lazy_code(
        self, module: "ModuleType", loader: "Any"
    ) -> "tuple[CodeType, list[str]] | None":
        name = module.__name__
        if not loader.path.startswith(self._root) or name.partition(".")[0] in self._packages:
            return None
        eager = self._eager.get(name, ())

        def may_be_lazy(imported: str, names: "tuple[str, ...] | None") -> bool:
            return self._may_be_lazy(module, imported, names)

        def choose(own: str) -> bool:
            # The import of a submodule sets this name in the package.
            return own not in eager and not (is_package and self._is_found(f"{name}.{own}"))

        is_package = hasattr(module, "__path__")
        source = loader.get_data(loader.path)
        return self._compile(source, loader.path, choose, may_be_lazy)

    def idle(self) -> "list[Statement]":
        """The lazy imports of what has been imported anyway: that they are lazy saves nothing."""
        return [
            statement
            for statement in self._lazy
            if (there := sys.modules.get(statement[1])) is not None
            and all(name in self._namespace(there) for name in statement[2] or ())
        ]

    def _may_be_lazy(self, module: "Any", imported: str, names: "tuple[str, ...] | None") -> bool:
        name = imported.lstrip(".")
        if level := len(imported) - len(name):
            base = module.__spec__.parent.rsplit(".", level - 1)[0]
            imported = f"{base}.{name}" if name else base
        there = sys.modules.get(imported)
        if there is not None and names:
            namespace = self._namespace(there)
            if all(name in namespace for name in names):
                return False  # the names exist, so lazy import would save nothing
        statement = (module.__name__, imported, names)
        if statement in self._idle or not self._may(*statement):
            return False
        self._lazy.append(statement)
        return True


def _note_lazy(spy: Spy) -> None:
    """Note which imports are lazy, from Python 3.15 on."""
    from lambda_runtime.start import lazy_imports

    make_filter = lazy_imports.make_filter

    def make_noting(*arguments: "Any") -> "Any":
        may_be_lazy = make_filter(*arguments)

        def may_and_note(*statement: "Any") -> bool:
            answer = may_be_lazy(*statement)
            if answer:
                spy.lazy.append(statement)
            return answer

        return may_and_note

    lazy_imports.make_filter = make_noting  # type: ignore[assignment]


def _is_put_off(statement: "Statement") -> bool:
    """Whether the import, which may be lazy, has not taken place by now for any other reason."""
    from types import LazyImportType  # type: ignore[attr-defined]

    _, imported, names = statement
    there: Any = sys.modules.get(imported)
    if there is None:
        return True
    # Read as an attribute, the dictionary would import every lazy name in it.
    namespace: Any = vars(type(sys))["__dict__"].__get__(there)
    return any(
        name not in namespace or type(namespace[name]) is LazyImportType for name in names or ()
    )


def _ask_others(own: object, name: str, path: object, target: object) -> "Any":
    for finder in list(sys.meta_path):
        if finder is not own and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)  # type: ignore[arg-type]
            if spec is not None:
                return spec
    return None


def _names(code: "CodeType") -> set[str]:
    found = set(code.co_names)
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            found |= _names(constant)
    return found


def _refuse_network() -> None:
    """Refuse every connection except to the Runtime API; the error names ``--allow-network``."""
    import posix

    own = posix.environ[b"AWS_LAMBDA_RUNTIME_API"].decode()

    def refuse(event: str, arguments: "tuple[Any, ...]") -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            address = arguments[1]
            if isinstance(address, tuple) and f"{address[0]}:{address[1]}" != own:
                raise ConnectionRefusedError(
                    f"lambda-runtime pack runs functions without a network: {address[0]} was not "
                    "contacted; --allow-network changes that"
                )

    sys.addaudithook(refuse)


def main(output: str, home: str, mode: str) -> None:
    """Run the function: observed, with or without lazy imports, or with its pack."""
    import posix

    packed = mode == "packed"

    if posix.environ.get(b"LAMBDA_RUNTIME_PACK_NETWORK") == b"0":
        _refuse_network()
    folder = __file__.rpartition("/")[0]
    sys.path[:] = [home, *(entry for entry in sys.path if entry != folder)]
    from lambda_runtime import entry, loop
    from lambda_runtime.start import startup

    spy = Spy(output)
    if not packed:
        sys.addaudithook(spy.hear)
    if packed:
        spy.write()  # it got this far
        entry.main(f"{home}/bootstrap")
    if mode == "lazy":
        (_note_lazy if hasattr(sys, "set_lazy_imports") else _import_lazily)(spy)
    hook_imports, handle = startup.hook_imports, loop.handle_event_request

    def hook_and_watch(*arguments: "Any") -> None:
        hook_imports(*arguments)
        sys.meta_path.insert(0, spy)

    def handle_and_write(*arguments: "Any") -> object:
        if spy.init is None:
            spy.init = [name for name in spy.found if name in sys.modules or mode != "lazy"]
            spy.write()
        answer = handle(*arguments)
        spy.answers += 1
        spy.write()
        return answer

    startup.hook_imports = hook_and_watch  # type: ignore[assignment]
    loop.handle_event_request = handle_and_write  # type: ignore[assignment]
    entry.main(f"{home}/bootstrap")


def _import_lazily(spy: Spy) -> None:
    import marshal
    import posix

    from lambda_runtime.errors import last_resort

    handler, root = (posix.environ[name].decode() for name in (b"_HANDLER", b"LAMBDA_TASK_ROOT"))
    with open(f"{spy.output}.plan", "rb") as file:
        spy.lazily = Lazily(handler, root, marshal.load(file))
    fail = last_resort.fail_init

    def write_and_fail(*arguments: "Any") -> None:
        spy.write()
        fail(*arguments)

    last_resort.fail_init = write_and_fail  # type: ignore[assignment]


if __name__ == "__main__":
    main(*sys.argv[1:])
