"""Serves modules from a pack, exactly as the packed folders would.

Theory of operation
===================

The index says where the import system found each module when the pack was made. For a submodule
this is still true if the package's ``__path__`` has not changed. For a top-level module it is true
if the module's entry of ``sys.path`` is still there, and no entry before it has a file or folder of
that name. The finder lists entries once, but asks again each time for entries that user code may
write to. In doubt it leaves the import to the next finders.

The specs are the same as those of ``importlib``, the loaders become plain ``SourceFileLoader``
objects before the module's code runs, and the stack gets no additional frame.
"""

import posix
import sys
from _frozen_importlib import ModuleSpec, _call_with_frames_removed  # type: ignore[attr-defined]
from _frozen_importlib_external import ExtensionFileLoader, FileFinder, SourceFileLoader
from _imp import _fix_co_filename, create_dynamic  # type: ignore[attr-defined]
from io import FileIO
from marshal import loads

from lambda_runtime.ground import settings, trusted
from lambda_runtime.pack import format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import CodeType, ModuleType
    from typing import Any

    from _typeshed.importlib import PathEntryFinderProtocol

    Entry = tuple[str, int, int, bytes | None]
    """File, kind, number of the section, and for the function's own modules the source's hash."""
    Aids = dict[str, Callable[[Any], None]]
    """By module name, the function that gives the module its results."""

PACKAGE, EXTENSION, STDLIB, SPINNING = 1, 2, 4, 8
"""The kinds of modules, added up. ``SPINNING``: an extension module that needs OpenBLAS."""

_SPIN, _SPIN_EXPONENT = "OPENBLAS_THREAD_TIMEOUT", "20"
"""OpenBLAS's threads look for work in a loop for 2 ** 26 cycles, then they sleep. At the start,
when there is no work, this takes a processor some 30 ms. A shorter loop, half a millisecond, still
bridges the pauses of a computation."""

_SUFFIX = f".{sys.implementation.cache_tag}" + (
    f".opt-{sys.flags.optimize}.pyc" if sys.flags.optimize else ".pyc"
)


class PackLoader(SourceFileLoader):
    """A SourceFileLoader that takes its byte-code from a pack, once."""

    pack: "PackFinder"

    def __eq__(self, other: object) -> bool:
        # Compare like a plain SourceFileLoader, as this loader becomes one.
        if not isinstance(other, SourceFileLoader):
            return NotImplemented
        return (self.name, self.path) == (other.name, other.path)

    __hash__ = SourceFileLoader.__hash__

    def get_code(self, fullname: str) -> "CodeType | None":
        pack = vars(self).pop("pack")
        self.__class__ = SourceFileLoader  # type: ignore[assignment]
        code = pack.codes.pop(fullname, None)
        return code or self.get_code(fullname)


class MakerLoader(PackLoader):
    """The loader of a module that gets results from the pack, or that imports names lazily."""

    name: str

    def exec_module(self, module: "ModuleType") -> None:
        pack = self.pack
        code = self.get_code(module.__name__)
        pack.make_lazy(module)
        pack.give_aids(module, pack.before)
        _call_with_frames_removed(exec, code, module.__dict__)
        pack.give_aids(module, pack.after)
        pack.settle(module)

    # On the stack, this method looks like the method that it replaces.
    exec_module.__code__ = exec_module.__code__.replace(
        co_filename=SourceFileLoader.exec_module.__code__.co_filename,
        co_qualname=SourceFileLoader.exec_module.__code__.co_qualname,
    )


class CalmLoader(ExtensionFileLoader):
    """An ExtensionFileLoader that keeps OpenBLAS's threads from taking a processor for nothing."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExtensionFileLoader):
            return NotImplemented
        return (self.name, self.path) == (other.name, other.path)

    __hash__ = ExtensionFileLoader.__hash__

    def create_module(self, spec: ModuleSpec) -> "ModuleType":
        self.__class__ = ExtensionFileLoader  # type: ignore[assignment]
        is_ours = _shorten_spin()
        try:
            module: ModuleType = _call_with_frames_removed(create_dynamic, spec)
        finally:
            if is_ours:
                posix.unsetenv(_SPIN)
        return module

    # On the stack, this method looks like the method that it replaces.
    create_module.__code__ = create_module.__code__.replace(
        co_filename=ExtensionFileLoader.create_module.__code__.co_filename,
        co_qualname=ExtensionFileLoader.create_module.__code__.co_qualname,
    )


def _shorten_spin() -> bool:
    """Set the variable that OpenBLAS reads when it is loaded, unless the user has set it.

    Only the C library has this value: ``os.environ`` stays as it is. Returns whether it was set.
    """
    if settings.get(_SPIN) is not None:
        return False
    try:
        posix.putenv(_SPIN, _SPIN_EXPONENT)
    except Exception:  # an audit hook forbids it
        return False
    return True


class PackFinder:
    """Finds the modules of one pack, whose folder is ``root``."""

    def __init__(self, root: str, path: str, index: "dict[str, Any]") -> None:
        self.root = root
        self.codes: dict[str, CodeType] = {}
        self._path = path
        self._moved = index["root"] != root
        self._modules: dict[str, Entry] = index["modules"]
        self._sections: list[format.Section] = index["sections"]
        self._loaded: set[int] = set()
        self._stdlib: str | None = None
        if index["stdlib"] == (sys.version, sys._stdlib_dir):  # type: ignore[attr-defined]
            self._stdlib = index["stdlib"][1]
        self.before: Aids = {}
        self.after: Aids = {}
        self._aids: dict[str, int] = index["aids"]
        self._lazy: dict[str, tuple[Sequence[str], Sequence[str]]] = index["lazy"] or {}
        self._is_lazy = True
        self._at_end: list[str] = index["at_end"]
        self._injected: list[tuple[ModuleType, Iterable[str]]] = []
        self._is_init_over = False
        self._texts: list[dict[Any, Any]] = []
        self._set_aids(index["makers"])
        self._entries: list[str] = []
        self._before: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {}
        self._sources: dict[str, tuple[int, dict[tuple[Any, ...], CodeType]]] | None = None

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        entry = self._modules.get(name)
        if entry is None:
            return None
        file, kind, section, source = entry
        if name in self._lazy and not self._is_lazy and self._lazy[name][0]:
            return None  # its code in the pack imports lazily, and imports must be eager
        base = self._stdlib if kind & STDLIB else self.root
        if base is None:  # another standard library than the one that was packed
            return self._find_usual(name, path)
        file = f"{base}/{file}"
        folder, _, last = file.rpartition("/")
        home = folder.rpartition("/")[0] if kind & PACKAGE else folder
        if path is None:
            if not self._is_first(name, home):
                return None
        elif len(path) != 1 or path[0] != home:
            return None
        if kind & EXTENSION:
            kind_of_loader = CalmLoader if kind & SPINNING else ExtensionFileLoader
            return _located(name, kind_of_loader(name, file), file)
        if not self._has_code(name, file, section, source):
            return self._find_usual(name, path)
        is_maker = name in self.before or name in self.after or name in self._lazy
        loader = MakerLoader(name, file) if is_maker else PackLoader(name, file)
        loader.pack = self
        spec = _located(name, loader, file)
        if kind & PACKAGE:
            spec.submodule_search_locations = [folder]
        if sys.pycache_prefix is None:
            spec.cached = f"{folder}/__pycache__/{last[:-3]}{_SUFFIX}"
        return spec

    def _find_usual(self, name: str, path: "Sequence[str] | None") -> "ModuleSpec | None":
        """The spec from the path, for a package in which lazy imports have left out modules."""
        if not self._is_lazy or not any(self._lazy.get(name, ())):
            return None
        from _frozen_importlib_external import PathFinder

        from lambda_runtime.start.startup import PostImportLoader

        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            act = PostImportLoader(spec.loader, lambda: self.make_lazy(sys.modules[name]))
            spec.loader = act  # type: ignore[assignment]
        return spec

    def import_eagerly(self) -> None:
        """From now on, import modules whose code in the pack imports lazily in the usual way."""
        self._is_lazy = False

    def make_lazy(self, module: "ModuleType") -> None:
        """Tell the module which names it imports on access; most modules have none."""
        if self._is_lazy and (state := self._lazy.get(module.__name__)) is not None:
            from lambda_runtime.pack import lazy

            lazy.make_lazy(module, *state)

    def settle(self, module: "ModuleType") -> None:
        """The module's code has run: make it a plain one, if nothing in it is lazy any more."""
        if self._is_init_over:
            self._take_back()
        if self._is_lazy and module.__name__ in self._lazy:
            from lambda_runtime.pack import lazy

            lazy.settle(module)

    def make_loaded_lazy(self) -> None:
        """Do this for modules that are loaded already: packages of the standard library."""
        for name in self._lazy:
            if name in sys.modules:
                self.make_lazy(sys.modules[name])

    def invalidate_caches(self) -> None:
        """List the entries of ``sys.path`` again at the next import."""
        self._entries = []

    def read_ahead(self, libraries: "list[str]") -> None:
        """Ask the kernel to read these libraries, which init will need."""
        for library in libraries:
            try:
                fd = posix.open(f"{self.root}/{library}", posix.O_RDONLY | posix.O_CLOEXEC)
                posix.posix_fadvise(fd, 0, 0, posix.POSIX_FADV_WILLNEED)
                posix.close(fd)
            except OSError:
                pass

    def release(self) -> None:
        """Init is over: import what events will, and release what only init needed."""
        if self._is_lazy:
            for name in self._at_end:
                try:
                    trusted.import_of_users(name)
                except Exception:
                    pass  # whoever imports it in an invocation is told
        self.codes.clear()
        self._take_back()
        self._is_init_over = True
        for known in self._texts:
            known.clear()

    def _take_back(self) -> None:
        """Remove the names that modules were given while their code ran."""
        while self._injected:
            module, names = self._injected.pop()
            for name in names:
                vars(module).pop(name, None)

    def give_aids(self, module: "ModuleType", givers: "Aids") -> None:
        """Give the module its results, if there are any."""
        give = givers.pop(module.__name__, None)
        if give is None:
            return
        try:
            give(module)
        except Exception as error:  # the module works without them
            self._give_up(error)

    def _set_aids(self, makers: "Sequence[str]") -> None:
        self.before.update(dict.fromkeys(makers, self._give_sources))
        if "regexes" in self._aids:
            self.after["re._compiler"] = self._give_regexes
        self.after.update(
            dict.fromkeys(self._aids.keys() & {"inspect", "textwrap"}, self._give_texts)
        )
        if "docstrings" in self._aids:
            self.after["scipy._lib._docscrape"] = self._give_docstrings
        if "aliases" in self._aids:
            self.after["botocore.hooks"] = self._give_aliases
        if "models" in self._aids:
            self.after["botocore.loaders"] = self._give_models

    def _give_sources(self, module: "ModuleType") -> None:
        from lambda_runtime.pack import aids

        if self._sources is None:
            self._sources = self.section(self._aids["sources"])
        futures, known = self._sources.pop(module.__name__)
        self._injected.append((module, aids.keep_sources(module, known, futures)))

    def _give_regexes(self, module: "ModuleType") -> None:
        from lambda_runtime.pack import aids

        aids.keep_regexes(module, *self.section(self._aids["regexes"]))

    def _give_texts(self, module: "ModuleType") -> None:
        from lambda_runtime.pack import aids

        known = self.section(self._aids[module.__name__])
        self._texts.append(known)
        aids.keep_texts(module, known)

    def _give_docstrings(self, module: "ModuleType") -> None:
        from lambda_runtime.pack import aids

        places = self.section(self._aids["docstrings"])
        self._texts.append(places)
        aids.keep_docstrings(module, places, self.section)

    def _give_aliases(self, module: "ModuleType") -> None:
        from lambda_runtime.pack import aids

        known = self.section(self._aids["aliases"])
        self._texts.append(known)
        aids.keep_aliases(module, known)

    def _give_models(self, module: "ModuleType") -> None:
        from lambda_runtime.pack import aids

        models, listings = self.section(self._aids["models"])
        aids.keep_models(module, self.root, models, listings, self.document)

    def _has_code(self, name: str, file: str, number: int, source: bytes | None) -> bool:
        if source is not None and not _is_unchanged(file, source):
            return False
        if name not in self.codes:
            self._load_section(number)
            if name not in self.codes:
                return False  # the code is used up: this is a reload, or a second attempt
        if self._moved:
            _fix_co_filename(self.codes[name], file)
        return True

    def _load_section(self, number: int) -> None:
        if number in self._loaded:
            return
        self._loaded.add(number)
        try:
            self.codes |= self.section(number)
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Leave all further modules to the ordinary import."""
        from lambda_runtime import logs

        self._modules, self.before, self.after = {}, {}, {}
        logs.warn(f"The pack {self._path} is not used any further: {error}")

    def document(self, number: int) -> "Any":
        """A parsed document. Raises OSError, and ValueError when it is damaged."""
        from pickle import loads

        return format.read_section(self._path, self._sections[number], loads)

    def section(self, number: int) -> "Any":
        """The section's content. Raises OSError, and ValueError when it is damaged."""
        return format.read_section(self._path, self._sections[number], loads)

    def _is_first(self, name: str, home: str) -> bool:
        """Whether ``home`` is the first entry of ``sys.path`` that has this top-level module."""
        if self._entries != sys.path:
            self._list_entries()
        before = self._before.get(home)
        if before is None or name in before[0]:
            return False
        for entry in before[1]:
            finder = _entry_finder(entry)
            if finder is not None and finder.find_spec(name) is not None:
                return False
        return True

    def _list_entries(self) -> None:
        """Note for each entry which names fixed entries before it have, and which to ask again."""
        entries = list(sys.path)
        names: set[str] = set()
        asked: list[str] = []
        before: dict[str, tuple[frozenset[str], tuple[str, ...]]] = {}
        for entry in entries:
            before.setdefault(entry, (frozenset(names), tuple(asked)))
            if not isinstance(entry, str):
                continue  # PathFinder does not look at it either
            finder = _entry_finder(entry)
            if finder is None:
                continue
            if type(finder) is FileFinder and self._is_fixed(f"{entry}/"):
                names.update(name.partition(".")[0] for name in _listing(entry, finder))
            else:
                asked.append(entry)
        # In this order, as another thread may read them at the same time.
        self._before = before
        self._entries = entries

    def _is_fixed(self, folder: str) -> bool:
        """Whether the folder's content is fixed while the function runs."""
        return folder.startswith(
            (f"{self.root}/", "/opt/", f"{sys.prefix}/", f"{sys.base_prefix}/")
        )


def _located(name: str, loader: "Any", file: str) -> ModuleSpec:
    spec = ModuleSpec(name, loader, origin=file)
    spec.has_location = True
    return spec


def _is_unchanged(file: str, source: bytes) -> bool:
    """Whether the file has this hash, and no package of the same name is beside it."""
    try:
        with FileIO(file) as opened:
            same = format.hash_source(opened.read()) == source
    except OSError:
        return False
    return same and not posix.access(f"{file[:-3]}/__init__.py", posix.F_OK)


def _entry_finder(entry: str) -> "PathEntryFinderProtocol | None":
    """The finder for an entry of ``sys.path``, made and cached like the import system does."""
    try:
        folder = entry or posix.getcwd()
    except OSError:
        return None
    if folder not in sys.path_importer_cache:
        sys.path_importer_cache[folder] = _make_finder(folder)
    return sys.path_importer_cache[folder]


def _make_finder(folder: str) -> "PathEntryFinderProtocol | None":
    for hook in sys.path_hooks:
        try:
            return hook(folder)
        except ImportError:
            continue
    return None


def _listing(entry: str, finder: FileFinder) -> "Iterable[str]":
    known = getattr(finder, "_path_cache", None)
    if known and isinstance(known, set):
        return known
    try:
        return posix.listdir(entry)
    except OSError:
        return ()
