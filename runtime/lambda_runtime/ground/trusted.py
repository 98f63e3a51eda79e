"""Imports for the runtime's own code, which nothing that user code does can get in the way of.

A function may have a file of its own called ``token.py`` or ``json.py``, may replace
``builtins.__import__``, and may empty ``sys.modules``, ``sys.path`` or ``sys.meta_path``. The
runtime still has to answer, and imports most of itself and of the standard library only then.

Theory of operation
-------------------
Every module of the runtime is executed with a private copy of ``builtins``, in which ``__import__``
is the one of this module. It keeps a table of modules of its own, and looks by name:

- The runtime's modules come from the bundle, which is in memory, or from the package's folder.
- A module of the standard library comes from ``sys.modules`` if the one there has been loaded from
  the interpreter's own folders. Else it is imported as usual, if the path gives nothing else
  precedence. Else it is loaded from the interpreter's folders by finders of this module's own, and
  all that it imports too; such a copy is private, unless nothing of its name is in the way.
- Everything else (a user's module, orjson) is imported as usual.

``sys.modules`` has the runtime's modules too, for those who import or replace parts of them.
"""

import _thread
import builtins
import marshal
import posix
import sys

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


# Here, as whatever is imported later in this module is imported as usual.
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
    from typing import Any

_PACKAGE = "lambda_runtime"
FOLDER = __file__.rpartition("/")[0].rpartition("/")[0] + "/"
"""Where the package lies."""

_HOME = FOLDER[:-1].rpartition("/")[0]
_PART = 1024 * 1024

_standard: frozenset[str] = sys.stdlib_module_names
_stdlib: str = getattr(sys, "_stdlib_dir", None) or ""
_folders = [entry for entry in sys.path if entry == _stdlib or entry.endswith("/lib-dynload")]
# Nothing that the runtime needs imports these, and functions have folders of such names.
_HARMLESS = frozenset(("test", "this", "antigravity", "idlelib", "tkinter", "turtledemo", "venv"))
_shadowing = _standard - _HARMLESS

_import_as_usual = builtins.__import__
modules = sys.modules
"""The interpreter's modules: it goes on with these when user code replaces ``sys.modules``."""
_builtins: "dict[str, Any]" = dict(vars(builtins))

_table: "dict[str, ModuleType]" = {
    name: module
    for name, module in sys.modules.items()
    if name.partition(".")[0] in _standard or name.partition(".")[0] == _PACKAGE
}
_loading: "dict[str, ModuleType]" = {}
_finders: "dict[str, FileFinder]" = {}
_covering = False

bundled: "dict[str, CodeType | memoryview]" = {}
"""The code of the runtime's modules that have not been loaded yet, by module name; marshalled for
those that are not on the cold path."""

after_load: "dict[str, Callable[[], None]]" = {}
"""What to call when a module of the standard library has been loaded past ``sys.meta_path``."""


def load(name: str) -> "ModuleType":
    """The module of this name: the runtime's own, or the standard library's whatever the path says.

    Raises what executing it raises, ModuleNotFoundError where there is none.
    """
    module = _table.get(name)
    return _load(name) if module is None else module


def loaded(name: str) -> "Any":
    """The module of the runtime's of this name, None if it has not been loaded."""
    return _table.get(name) or modules.get(name)


def hold(*names: str) -> None:
    """Have the code of these modules of the runtime's in memory, if no bundle has seen to that."""
    for name in names:
        if name not in bundled and name not in _table:
            spec = find_own(name)
            assert spec is not None
            assert isinstance(spec.loader, SourceFileLoader)
            code = spec.loader.get_code(name)
            assert code is not None
            bundled[name] = code


def import_of_users(name: str) -> "ModuleType":
    """Import a module as user code would, and return it itself; raises what the import raises."""
    usual_import()(name)
    return modules[name]


def usual_import() -> "Callable[..., ModuleType]":
    """``__import__`` as user code has it, but for the time in which ours is in its place."""
    usual: Callable[..., ModuleType] = builtins.__import__
    return _import_as_usual if usual is _import else usual


def find_own(name: str) -> "ModuleSpec | None":
    """How to make the module of the runtime's of this name, for whoever imports it as usual."""
    path = f"{_HOME}/{name.replace('.', '/')}"
    code = bundled.get(name)
    if isinstance(code, memoryview):
        code = bundled[name] = marshal.loads(code)
    if code is not None:
        is_package = code.co_filename.endswith("/__init__.py")
    else:
        is_package = posix.access(f"{path}/__init__.py", posix.R_OK)
        if not is_package and not posix.access(f"{path}.py", posix.R_OK):
            return None
    file = f"{path}/__init__.py" if is_package else f"{path}.py"
    loader = (_OwnLoader if code is None else BundleLoader)(name, file)
    spec = ModuleSpec(name, loader, origin=file, is_package=is_package)
    spec.has_location = True
    if is_package:
        spec.submodule_search_locations = [path]
    return spec


class _DirectLoader(SourceFileLoader):
    """Reads files without what user code may have replaced: ``io.open_code`` imports, for one."""

    def get_data(self, path: str) -> bytes:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            parts = []
            while part := posix.read(descriptor, _PART):
                parts.append(part)
            return b"".join(parts)
        finally:
            posix.close(descriptor)


class _OwnLoader(_DirectLoader):
    """Executes the runtime's modules with its own ``__import__``."""

    def exec_module(self, module: "ModuleType") -> None:
        namespace = vars(module)
        namespace["__builtins__"] = _builtins
        exec(self.get_code(module.__name__), namespace)  # type: ignore[arg-type]
        _table[module.__name__] = module


class BundleLoader(_OwnLoader):
    """Has the code in memory."""

    def get_code(self, fullname: str) -> "CodeType | None":
        code = bundled.pop(fullname)
        return moved(marshal.loads(code) if isinstance(code, memoryview) else code, self.path)


def moved(code: "CodeType", file: str) -> "CodeType":
    """The code, functions and all, as compiled from this file."""
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
    """``__import__``, as this module's docstring has it."""
    if level:
        assert globals is not None
        name = _absolute(name, globals, level)
    module = _table.get(name)
    if module is None:
        if (top := name.partition(".")[0]) != _PACKAGE and top not in _standard:
            return usual_import()(name, globals, locals, fromlist or ())
        module = _load(name)
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
    """Load what may be a submodule, or a name that the package makes when it is asked for."""
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
    """The module of this name, which may still be at its own imports."""
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
    return (
        isinstance(origin, str)
        and any(origin.startswith(f"{folder}/") for folder in _folders)
        and "-packages/" not in origin
    )


def _import_soundly(name: str) -> "ModuleType | None":
    """The module as the interpreter imports it; None when user code has got in between."""
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
        pass  # whatever it is: the interpreter's own folders have it still
    return None


def _entries_before_ours() -> "Iterator[str]":
    """What ``sys.path`` has before the standard library. Raises ValueError if it lacks that."""
    for entry in sys.path:
        if entry == _stdlib:
            return
        if entry not in _folders:
            yield entry
    raise ValueError("sys.path lacks the standard library")


def _shadows(entry: str) -> set[str]:
    """The names of the standard library's that the folder has something of."""
    try:
        names = posix.listdir(entry or ".")
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {name.partition(".")[0] for name in names} & _shadowing


def _load_private(name: str, parent: str, tail: str) -> "ModuleType":
    """Load the module past everything that is the user's."""
    with _ModuleLockManager(name):
        module = _table.get(name) or _loading.get(name)
        if module is not None:
            return module
        spec = _find_standard(name, parent)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        # While it is executed it has to be there: enum and namedtuple look their module up. And
        # what is compiled imports by way of sys.modules alone.
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
    """Put the standard library's modules where others of their names are; what was there."""
    global _covering
    covered: dict[str, ModuleType | None] = {}
    if _covering:
        return covered
    _covering = True
    names = {name for name in modules if name in _standard}
    for name in {name for name in names if not _is_genuine(modules[name])} | _shadowing_names():
        taken = modules.get(name)
        try:
            # Not any of these must be needed: what is, fails with a better error.
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
    """The names of the standard library's that the path has something else for."""
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
        finder = _finders[folder] = FileFinder(folder, compiled, (_DirectLoader, [".py"]))
    return finder


def _would_shadow(name: str, parent: str) -> bool:
    """Whether the path has another module of this name, which users will want to import."""
    if parent:
        return modules.get(parent) is not _made(parent)
    try:
        spec = PathFinder.find_spec(name)
    except Exception:
        return True
    return spec is not None and not _is_own_origin(spec.origin)
