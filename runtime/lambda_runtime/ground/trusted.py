"""Imports modules for the runtime's own code, in a way that user code cannot break.

A function may have a file called ``token.py`` or ``json.py``, may replace ``builtins.__import__``
or any other name there, and may empty ``sys.modules``, ``sys.path`` or ``sys.meta_path``. The
runtime must still answer, and it imports most of itself and of the standard library only after user
code has run.

Theory of operation
-------------------
Every module of the runtime runs with a private copy of ``builtins``, whose ``__import__`` is
``_import`` of this module. It keeps its own table of modules, and decides by name:

- The runtime's modules come from the bundle, which is in memory, or from the package's folder.
- A module of the standard library comes from ``sys.modules`` if the interpreter's own folders were
  its source. If not, it is imported as usual, unless an earlier entry of the path shadows it. If
  that fails too, this module's own finders load it, and all its imports, from the interpreter's
  folders. Such a copy stays private if user code has a module of the same name.
- Everything else (a user's module, orjson) is imported as usual.

``sys.modules`` has the runtime's modules too, as libraries import and replace parts of them.

The interpreter's own import functions and the standard library use ``builtins`` itself. If loading
something fails, this module tries again while ``builtins`` has what it had before user code ran.
"""

import _thread
import builtins
import posix
import sys
from marshal import loads as _read

try:
    from _frozen_importlib import (  # type: ignore[attr-defined]
        BuiltinImporter,
        FrozenImporter,
        ModuleSpec,
        _ModuleLockManager,
        module_from_spec,
    )
    from _frozen_importlib_external import (
        ExtensionFileLoader,
        FileFinder,
        PathFinder,
        SourceFileLoader,
    )
except ImportError:
    from importlib.machinery import (
        BuiltinImporter,
        ExtensionFileLoader,
        FileFinder,
        FrozenImporter,
        ModuleSpec,
        PathFinder,
        SourceFileLoader,
    )
    from importlib.util import module_from_spec

    _lock = _thread.RLock()

    def _ModuleLockManager(name: str) -> "_thread.RLock":
        return _lock  # one for all


_builtins: "dict[str, Any]" = dict(vars(builtins))
globals()["__builtins__"] = _builtins  # of all functions that are defined from here on

# Import these now: later imports in this module are ordinary ones, which user code can break.
try:
    from _imp import extension_suffixes

    _SUFFIXES = extension_suffixes()
except ImportError:
    _SUFFIXES = [".so"]
_fix_co_filename: "Callable[[CodeType, str], None] | None"
try:
    from _imp import _fix_co_filename  # type: ignore[attr-defined,no-redef]
except ImportError:
    _fix_co_filename = None

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import CodeType, ModuleType
    from typing import Any, TypeVar

    Result = TypeVar("Result")

_PACKAGE = "lambda_runtime"
FOLDER = __file__.rpartition("/")[0].rpartition("/")[0] + "/"
"""The package's folder."""

_HOME = FOLDER[:-1].rpartition("/")[0]
_PART = 1024 * 1024

_standard: frozenset[str] = sys.stdlib_module_names
_stdlib: str = getattr(sys, "_stdlib_dir", None) or ""
_folders = [entry for entry in sys.path if entry == _stdlib or entry.endswith("/lib-dynload")]
_own_paths = tuple(f"{folder}/" for folder in _folders)
# Compiled modules of the cold path. They import nothing, so no search and no check is needed.
_COMPILED = ("_json", "_socket")
# The runtime never imports these, directly or indirectly, and functions have folders so named. The
# last is frozen in every interpreter: no file shadows it, and ``os`` imports it in a circle.
_HARMLESS = frozenset(
    ("test", "this", "antigravity", "idlelib", "tkinter", "turtledemo", "venv", "genericpath")
)

_import_as_usual = builtins.__import__
_add_audit_hook_as_usual = sys.addaudithook
modules = sys.modules
"""The interpreter's modules: it keeps using this dict when user code replaces ``sys.modules``."""

_table: "dict[str, ModuleType]" = {
    name: module
    for name, module in sys.modules.items()
    if name.partition(".")[0] in _standard or name.partition(".")[0] == _PACKAGE
}
_loading: "dict[str, ModuleType]" = {}
_finders: "dict[str, FileFinder]" = {}
_covering = False
_MISSING = object()
is_sound = True
"""Whether ``builtins`` is as it was: before user code runs, and while ``soundly`` is under way."""
_put_off: "list[ModuleType]" = []
_main_thread = _thread.get_ident()
_usual_hook: "Callable[[sys.UnraisableHookArgs], object] | None" = None
_owed: "list[BaseException]" = []
"""What ``load`` is to raise. See ``_keep``."""

bundled: "dict[str, CodeType | memoryview]" = {}
"""The code of the runtime's modules that are not loaded yet, by module name. Modules outside the
cold path are marshalled."""

packed: "tuple[memoryview, int] | None" = None
"""A bundle's file, and where its index begins, until ``bundled`` has the modules of the index."""

after_load: "dict[str, Callable[[], None]]" = {}
"""Actions to call after a standard library module was loaded without ``sys.meta_path``."""


def load(name: str) -> "ModuleType":
    """Load the runtime's or the standard library's module of this name, whatever the path says.

    Raises what the module's code raises, and ModuleNotFoundError if there is no such module.
    """
    module = _table.get(name)
    if module is not None:
        return module
    global _usual_hook
    if _thread.get_ident() != _main_thread or sys.unraisablehook is _keep:
        return firmly(_load, name)
    _owed.clear()
    _usual_hook = sys.unraisablehook
    try:
        sys.unraisablehook = _keep
        module = firmly(_load, name)
    finally:
        if sys.unraisablehook is _keep:
            sys.unraisablehook = _usual_hook
    if _owed:
        raise _owed.pop()
    return module


def _keep(dropped: "sys.UnraisableHookArgs") -> None:
    """Keep what a signal's handler raises in the callback that importlib has for each module.

    The interpreter drops it there: a function's own SIGTERM handler would end nothing. ``load``
    raises it. The runtime's own exceptions come again by themselves (``ground.dropped``).
    """
    error = dropped.exc_value
    name = getattr(dropped.object, "__qualname__", None)
    own = type(error).__module__.partition(".")[0] == _PACKAGE
    if error is not None and name == "_get_module_lock.<locals>.cb" and not own:
        _owed.append(error)
    else:
        (_usual_hook or sys.__unraisablehook__)(dropped)


def loaded(name: str) -> "Any":
    """The runtime's module of this name, None if it is not loaded."""
    return _table.get(name) or modules.get(name)


def hold(*names: str) -> None:
    """Read the code of these modules of the runtime into memory, unless a bundle has done so."""
    if packed is not None:
        return
    for name in names:
        if name not in bundled and name not in _table:
            spec = find_own(name)
            assert spec is not None
            assert isinstance(spec.loader, SourceFileLoader)
            code = spec.loader.get_code(name)
            assert code is not None
            bundled[name] = code


def load_library(name: str, path: str) -> "ModuleType":
    """Load the compiled module in this file. Raises what its loading raises."""
    return firmly(_load_library, name, path)


def _load_library(name: str, path: str) -> "ModuleType":
    loader = ExtensionFileLoader(name, path)
    module: ModuleType = module_from_spec(ModuleSpec(name, loader, origin=path))
    loader.exec_module(module)
    return module


def firmly(work: "Callable[..., Result]", *given: object) -> "Result":
    """Do the work; if it fails and user code has changed ``builtins``, do it again ``soundly``.

    Not the first time: ``builtins`` belongs to all threads, and most of what user code puts there
    (another ``print``) is in nobody's way. Raises what the work raises.
    """
    try:
        return work(*given)
    except Exception:
        if is_sound or not _changes():
            raise
    return soundly(work, *given)


def soundly(work: "Callable[..., Result]", *given: object) -> "Result":
    """Do the work while ``builtins`` has what it had before user code ran. Raises what that raises.

    What user code has put there or deleted is as before afterwards.
    """
    global is_sound
    if is_sound:
        return work(*given)
    present, changes = vars(builtins), _changes()
    try:
        present.update(_usual_builtins())
        is_sound = True
        return work(*given)
    finally:
        is_sound = False
        for name, there in changes.items():
            if there is _MISSING:
                present.pop(name, None)
            else:
                present[name] = there


def mend() -> list[str]:
    """Put back for good what user code has changed in ``builtins``; return these names.

    For an event loop that fails: its code runs all the time, and that of other tasks in between.
    """
    changes = _changes()
    vars(builtins).update({name: it for name, it in _usual_builtins().items() if name in changes})
    return list(changes)


def _usual_builtins() -> "dict[str, Any]":
    return _builtins | {"__import__": _import_as_usual}


def _changes() -> "dict[str, object]":
    """What user code has put in place of the interpreter's ``builtins``, or ``_MISSING``."""
    present = vars(builtins)
    return {
        name: there
        for name, it in _usual_builtins().items()
        if (there := present.get(name, _MISSING)) is not it
    }


def adopt(module: "ModuleType") -> "Callable[[str], object]":
    """Take a module of the runtime into the table; its code runs as trusted code.

    Its ``__spec__`` and ``__loader__`` are made when somebody asks for one of them. Returns the
    module's ``__getattr__``, which does this.
    """
    namespace = vars(module)
    namespace["__builtins__"] = _builtins
    _table[module.__name__] = module
    namespace.pop("__spec__", None)
    namespace.pop("__loader__", None)
    others: Callable[[str], object] | None = namespace.get("__getattr__")

    def find(attribute: str) -> object:
        if attribute == "__spec__" or attribute == "__loader__":
            spec = _spec(module.__name__, namespace["__file__"], BundleLoader)
            if "__path__" in namespace:
                spec.submodule_search_locations = namespace["__path__"]
            namespace.update(__spec__=spec, __loader__=spec.loader)
        elif module in _put_off:
            firmly(_complete, module)
        elif others is not None:
            return others(attribute)
        try:
            return namespace[attribute]
        except KeyError:
            raise AttributeError(
                f"module {module.__name__!r} has no attribute {attribute!r}"
            ) from None

    namespace["__getattr__"] = find
    return find


def put_off(module: "ModuleType") -> None:
    """Adopt a module whose code runs when something of it is first used, or at ``complete``."""
    adopt(module)
    _put_off.append(module)
    sys.addaudithook = _add_audit_hook


def complete() -> None:
    """Run the code of the modules that have been put off."""
    if not _put_off:
        return  # every wait for an event comes here that does not follow an answer
    firmly(_complete, *reversed(_put_off))
    _put_off.clear()  # only now, as another thread may be here too
    if sys.addaudithook is _add_audit_hook:
        sys.addaudithook = _add_audit_hook_as_usual


def _add_audit_hook(hook: "Callable[[str, tuple[Any, ...]], object]") -> None:
    """``sys.addaudithook``, until ``complete``: afterwards the hook may forbid to run any code."""
    complete()
    _add_audit_hook_as_usual(hook)


def _complete(*put_off: "ModuleType") -> None:
    with _ModuleLockManager(_PACKAGE):  # one for all, as each lock takes its time
        for module in put_off:
            name = module.__name__
            code = _held(name)
            if code is None:
                continue
            try:
                del bundled[name]  # now: what the code calls may ask the module for something
                read = _read(code) if isinstance(code, memoryview) else code
                namespace = vars(module)
                exec(moved(read, namespace["__file__"]), namespace)
            except BaseException:
                bundled[name] = code  # the next use tries again
                raise


def _held(name: str) -> "CodeType | memoryview | None":
    """The code of this module of the runtime, if it is in memory and has not run."""
    global packed
    if packed is not None:
        with _ModuleLockManager(_PACKAGE):
            if packed is not None:  # no other thread has been here, which may have run some of it
                content, index = packed
                places: dict[str, tuple[int, int]] = _read(content[index:])
                bundled.update({late: content[start:end] for late, (start, end) in places.items()})
                packed = None
    return bundled.get(name)


def import_of_users(name: str) -> "ModuleType":
    """Import a module as user code would, and return this module. Raises the import's error."""
    usual_import()(name)
    return modules[name]


def usual_import() -> "Callable[..., ModuleType]":
    """User code's ``__import__``, even while this module's own replaces it."""
    usual: Callable[..., ModuleType] = builtins.__import__
    return _import_as_usual if usual is _import else usual


def find_own(name: str) -> "ModuleSpec | None":
    """The spec of the runtime's module of this name, for ordinary imports of it."""
    path = f"{_HOME}/{name.replace('.', '/')}"
    code = _held(name)
    if isinstance(code, memoryview):
        code = bundled[name] = _read(code)
    if code is not None:
        is_package = code.co_filename.endswith("/__init__.py")
    else:
        is_package = posix.access(f"{path}/__init__.py", posix.R_OK)
        if not is_package and not posix.access(f"{path}.py", posix.R_OK):
            return None
    file = f"{path}/__init__.py" if is_package else f"{path}.py"
    return _spec(name, file, _OwnLoader if code is None else BundleLoader)


def _spec(name: str, file: str, kind: "type[_OwnLoader]") -> "ModuleSpec":
    is_package = file.endswith("/__init__.py")
    spec = ModuleSpec(name, kind(name, file), origin=file, is_package=is_package)
    spec.has_location = True
    if is_package:
        spec.submodule_search_locations = [file.rpartition("/")[0]]
    return spec


class _OwnLoader(SourceFileLoader):
    """Executes modules with the runtime's own ``__import__``.

    Reads files with ``posix`` only: ``io.open_code`` imports, which user code may break.
    """

    def get_data(self, path: str) -> bytes:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            parts = []
            while part := posix.read(descriptor, _PART):
                parts.append(part)
            return b"".join(parts)
        finally:
            posix.close(descriptor)

    def exec_module(self, module: "ModuleType") -> None:
        namespace = vars(module)
        namespace["__builtins__"] = _builtins
        exec(self.get_code(module.__name__), namespace)  # type: ignore[arg-type]
        _table[module.__name__] = module


class BundleLoader(_OwnLoader):
    """Takes the code from memory, once. After that it is the file's."""

    def get_code(self, fullname: str) -> "CodeType | None":
        module = _table.get(fullname)
        if module is not None and module in _put_off:
            _complete(module)  # user code makes another module of this name: not with this one's
        code = bundled.pop(fullname, None)
        if code is None:
            return super().get_code(fullname)
        return moved(_read(code) if isinstance(code, memoryview) else code, self.path)


def moved(code: "CodeType", file: str) -> "CodeType":
    """The code and its functions, with this file as their source file."""
    if _fix_co_filename is None:
        parts = (moved(it, file) if type(it) is type(code) else it for it in code.co_consts)
        return code.replace(co_filename=file, co_consts=tuple(parts))
    _fix_co_filename(code, file)
    return code


def _import(
    name: str,
    globals: "Mapping[str, Any] | None" = None,
    locals: "Mapping[str, Any] | None" = None,
    fromlist: "Sequence[str] | None" = (),
    level: int = 0,
) -> "ModuleType":
    """``__import__`` as this module's docstring describes it."""
    if level:
        assert globals is not None
        name = _absolute(name, globals, level)
    module = _table.get(name)
    if module is None:
        if (top := name.partition(".")[0]) != _PACKAGE and top not in _standard:
            return usual_import()(name, globals, locals, fromlist or ())
        module = firmly(_load, name)
    if not fromlist:
        return load(name.partition(".")[0]) if "." in name else module
    namespace = module.__dict__
    if "__path__" in namespace:
        for attribute in fromlist:
            if attribute not in namespace and attribute != "*":
                _try_load(f"{name}.{attribute}")
    return module


_builtins["__import__"] = _import


def _absolute(name: str, globals: "Mapping[str, Any]", level: int) -> str:
    package: str = globals["__package__"]
    for _ in range(level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{name}" if name else package


def _try_load(name: str) -> None:
    """Load the name if it is a submodule; the package may also make it on access."""
    try:
        load(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise


def _load(name: str) -> "ModuleType":
    parent, _, tail = name.rpartition(".")
    if parent:
        load(parent)
    top = name.partition(".")[0]
    if top == _PACKAGE:
        return _load_own(name, parent, tail)
    if top not in _standard:
        return import_of_users(name)
    module = modules.get(name)
    if name in _COMPILED and name not in modules:
        module = _load_compiled(name)
    if not _is_genuine(module):
        module = _import_soundly(name)
        if module is None:
            return _load_private(name, parent, tail)
    assert module is not None
    _table[name] = module
    return module


def _load_own(name: str, parent: str, tail: str) -> "ModuleType":
    with _ModuleLockManager(name):
        module = _table.get(name) or _loading.get(name) or modules.get(name)
        if module is not None:
            return module
        spec = find_own(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return _make(spec, parent, tail)


def _make(spec: "ModuleSpec", parent: str, tail: str) -> "ModuleType":
    name = spec.name
    module: ModuleType = module_from_spec(spec)
    vars(module)["__builtins__"] = _builtins
    _loading[name] = modules[name] = module
    try:
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except BaseException:
        modules.pop(name, None)
        raise
    finally:
        del _loading[name]
    module = modules.get(name, module)  # collections.abc puts another one in its own place
    _table[name] = module
    if parent:
        setattr(_made(parent), tail, module)
    return module


def _made(name: str) -> "ModuleType":
    """The module of this name, which may still be running its imports."""
    return _table.get(name) or _loading.get(name) or modules[name]


def _is_genuine(module: object) -> bool:
    """Whether the module has been loaded from the interpreter itself or from its own folders."""
    if type(module) is not type(sys):
        return False
    spec = vars(module).get("__spec__")
    return _is_own_origin(getattr(spec, "origin", None))


def _is_own_origin(origin: object) -> bool:
    if origin in ("built-in", "frozen"):
        return True
    return isinstance(origin, str) and origin.startswith(_own_paths) and "-packages/" not in origin


def _load_compiled(name: str) -> "ModuleType | None":
    """The compiled module, without a search; None where it is not in its usual place."""
    spec = BuiltinImporter.find_spec(name)
    if spec is None:
        path = f"{_folders[-1]}/{name}{_SUFFIXES[0]}" if _folders else ""
        spec = ModuleSpec(name, ExtensionFileLoader(name, path), origin=path)
        spec.has_location = True
    try:
        module = modules[name] = module_from_spec(spec)
        assert spec.loader is not None
        spec.loader.exec_module(module)
    except ImportError:
        modules.pop(name, None)
        return None
    return module


def _import_soundly(name: str) -> "ModuleType | None":
    """The module by an ordinary import; None if user code shadows or breaks that import."""
    try:
        if PathFinder in sys.meta_path and not any(map(_shadows, _entries_before_ours())):
            _import_as_usual(name)
            module = modules[name]
            if _is_genuine(module):
                return module
    except ModuleNotFoundError as error:
        if error.name == name:
            raise
    except Exception:
        pass  # any error: the interpreter's own folders still have the module
    return None


def _entries_before_ours() -> "Iterator[str]":
    """The entries of ``sys.path`` before the standard library. Raises ValueError without it."""
    for entry in sys.path:
        if entry == _stdlib:
            return
        if entry not in _folders:
            yield entry
    raise ValueError("sys.path lacks the standard library")


def _shadows(entry: str) -> set[str]:
    """The names of standard library modules that entries of this folder shadow."""
    try:
        names = posix.listdir(entry or ".")
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {name.partition(".")[0] for name in names} & (_standard - _HARMLESS)


def _load_private(name: str, parent: str, tail: str) -> "ModuleType":
    """Load the module without using anything that user code can change."""
    with _ModuleLockManager(name):
        module = _table.get(name) or _loading.get(name)
        if module is not None:
            return module
        spec = _find_standard(name, parent)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        # While a module's code runs, sys.modules must have it: enum and namedtuple look it up. And
        # compiled modules import from sys.modules only.
        covered = _cover_shadowing()
        module = _table.get(name)
        if module is not None:
            _uncover(covered)
            return module
        taken = modules.get(name)
        usual, builtins.__import__ = builtins.__import__, _import
        try:
            module = _make(spec, parent, tail)
        finally:
            builtins.__import__ = usual
            if taken is not None:
                modules[name] = taken
            _uncover(covered)
        if taken is not None:
            return module
        if _would_shadow(name, parent):
            modules.pop(name, None)
        elif (action := after_load.get(name)) is not None:
            action()
        return module


def _cover_shadowing() -> "dict[str, ModuleType | None]":
    """Put standard library modules over shadowing ones; return the modules that were there."""
    global _covering
    covered: dict[str, ModuleType | None] = {}
    if _covering:
        return covered
    _covering = True
    names = {name for name in modules if name in _standard}
    for name in {name for name in names if not _is_genuine(modules[name])} | _shadowing_names():
        taken = modules.get(name)
        try:
            # Ignore errors here: the module may not be needed, and a later error says more.
            modules[name] = load(name)
            covered[name] = taken
        except Exception:
            pass
    for name, module in list(_table.items()):
        if name.partition(".")[0] in _standard and modules.get(name) is not module:
            covered.setdefault(name, modules.get(name))
            modules[name] = module
    _covering = False
    return covered


def _uncover(covered: "dict[str, ModuleType | None]") -> None:
    for name, taken in covered.items():
        if taken is None:
            modules.pop(name, None)
        else:
            modules[name] = taken


def _shadowing_names() -> set[str]:
    """The names of standard library modules that entries of the path shadow."""
    try:
        return set().union(*map(_shadows, _entries_before_ours()))
    except Exception:
        return set()


def _find_standard(name: str, parent: str) -> "ModuleSpec | None":
    folders = list(_made(parent).__path__) if parent else _folders
    finders: tuple[Any, ...] = (BuiltinImporter, FrozenImporter, *map(_finder, folders))
    for finder in finders:
        spec: ModuleSpec | None = finder.find_spec(name)
        if spec is not None:
            return spec
    return None


def _finder(folder: str) -> FileFinder:
    finder = _finders.get(folder)
    if finder is None:
        compiled = (ExtensionFileLoader, _SUFFIXES)
        finder = _finders[folder] = FileFinder(folder, compiled, (_OwnLoader, [".py"]))
    return finder


def _would_shadow(name: str, parent: str) -> bool:
    """Whether the path has another module of this name, which user code may want to import."""
    if parent:
        return modules.get(parent) is not _made(parent)
    try:
        spec = PathFinder.find_spec(name)
    except Exception:
        return True
    return spec is not None and not _is_own_origin(spec.origin)
