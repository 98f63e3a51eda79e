"""LAMBDA_RUNTIME_LAZY_IMPORTS: executes modules when a name from them is first used.

Theory of operation
-------------------
Since 3.15 the interpreter can make the imports at the top of modules lazy (PEP 810): it binds a
name to a stand-in, and executes the module when the name is first looked up. For each such import
the interpreter asks a filter. The filter of this module refuses

- imports by the runtime, the standard library, the packages in ``ALWAYS_EAGER`` and
  ``EAGER_WITHIN``, and packages with compiled modules: only the function's own code and its other
  packages may import lazily;
- imports of loaded modules, and of the packages in ``ALWAYS_EAGER``;
- imports of modules that cannot be found without executing code. Such an import happens at once,
  and succeeds or fails in init with its usual error. So a missing module is noticed in init;
- the import of the handler, if its module imports it from another module;
- imports that the function's file ``eager-imports.txt`` lists. Init has a whole processor, the
  first invocation only the share that the function's memory buys: so modules that the handler will
  use are better imported in init.

Nothing is lazy if no caller waits for init: with provisioned concurrency, SnapStart and on managed
instances. There, all imports happen before init ends, in the usual order.
"""

import posix
import sys

from lambda_runtime import logs
from lambda_runtime.ground import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Filter = Callable[[str | None, str, "tuple[str, ...] | None"], bool]

VARIABLE = "LAMBDA_RUNTIME_LAZY_IMPORTS"
EAGER_FILE = "eager-imports.txt"

ALWAYS_EAGER = {
    # The runtime itself may import these in the middle of an invocation.
    "awslambdaric": "the runtime's",
    "bootstrap": "the runtime's",
    "lambda_runtime": "the runtime's",
    "orjson": "the runtime's",
    "snapshot_restore_py": "the runtime's",
    # Agents: they must replace functions of other libraries before user code calls these.
    "datadog_lambda": "patches libraries and the handler when it is imported",
    "ddtrace": "patches libraries when it is imported, and the import system itself",
    "newrelic": "patches libraries when it is imported",
    "sentry_sdk": "patches libraries and the runtime for its client",
    "elasticapm": "patches libraries when it is imported",
    # Code imports these for what the import does.
    "gevent": "replaces parts of the standard library, which has to come before their use",
    "eventlet": "replaces parts of the standard library, which has to come before their use",
    "setuptools": "puts its own distutils in place of the standard library's",
    "pkg_resources": "registers finders and namespaces when it is imported",
}
"""Packages that are never lazy, and that import nothing lazily, each with the reason."""

EAGER_WITHIN = {
    # Imports fill their registries, and no code uses the imported names.
    "celery": "tasks register themselves when their modules are imported",
    "django": "checks, lookups and template tags register themselves when they are imported",
    "sqlalchemy": "events register themselves when their modules are imported",
}
"""Packages that may be lazy as a whole, but whose own modules import nothing lazily.

The same holds for packages with compiled modules (NumPy, pandas, pyarrow …): their modules look
each other up during the import, and would mistake a stand-in for the real object.
"""

kept: "frozenset[tuple[str | None, str, tuple[str, ...] | None]] | None" = None
"""What a pack has found out: the imports that are lazy. Then nothing else is asked."""

_COMPILED = ".so"
_dictionary: "Any" = type(sys).__dict__
_EAGER_INITS = ("provisioned-concurrency", "snap-start", "lambda-managed-instances")


def turn_on(handler: str) -> None:
    """Make imports lazy if the environment says so. ``handler`` is its name, module.function.

    Raises FaultException (``Runtime.InvalidSetting``) for an invalid value.
    """
    value = (settings.get(VARIABLE) or "").strip()
    if value in ("", "0"):
        return
    if not hasattr(sys, "set_lazy_imports"):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        logs.warn(
            f"{VARIABLE} is ignored: Python {version} has no lazy imports, they came with 3.15"
        )
        return
    packages = None if value == "1" else _packages(value)
    if imports_before_init_ends():
        return
    switch: Any = sys  # newer than what type checkers know
    if kept is not None:
        switch.set_lazy_imports_filter(lambda *statement: statement in kept)
    else:
        eager = _read_eager(settings.get("LAMBDA_TASK_ROOT") or ".")
        module, _, function = handler.rpartition(".")
        may_be_lazy = make_filter(module.replace("/", "."), function, packages, eager)
        switch.set_lazy_imports_filter(may_be_lazy)
    switch.set_lazy_imports("all")


def imports_before_init_ends() -> bool:
    """Whether nobody waits for init, so that nothing is lazy."""
    return (
        settings.get("AWS_LAMBDA_INITIALIZATION_TYPE") in _EAGER_INITS
        or settings.get("AWS_LAMBDA_MAX_CONCURRENCY") is not None
    )


def _packages(value: str) -> tuple[str, ...]:
    """The packages whose import may be lazy."""
    names = tuple(name.strip() for name in value.split(","))
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")) or not is_found(name):
            raise _invalid(
                f"{VARIABLE} is {value!r}: there is no package {name!r} here; it may be 1 (all "
                "imports), 0 (none) or the names of packages, as in 'boto3, pandas'"
            )
    return names


def _read_eager(folder: str) -> "tuple[str, ...]":
    """The lines of the function's ``eager-imports.txt``; none if there is no such file."""
    try:
        with open(f"{folder}/{EAGER_FILE}", encoding="utf-8") as file:
            lines = [line.partition("#")[0].strip() for line in file]
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"{EAGER_FILE} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        # Tools make modules with names that no import statement can have.
        if line and _is_odd(line.removesuffix(".*")):
            raise _invalid(
                f"{EAGER_FILE}, line {number}: {line!r} is no module's name; a line has one name, "
                "as in botocore.client, or botocore.* for a package and all that is in it"
            )
    return tuple(filter(None, lines))


def _is_odd(name: str) -> bool:
    return not all(name.split(".")) or any(
        not (it.isprintable() and it not in " /*") for it in name
    )


def _invalid(message: str) -> Exception:
    from lambda_runtime.ground.faults import FaultException

    return FaultException("Runtime.InvalidSetting", message)


def make_filter(
    handler_module: str,
    function: str,
    packages: "tuple[str, ...] | None",
    eager_names: "tuple[str, ...]",
    *,
    may_leave_compiled: bool = False,
) -> "Filter":
    """The function that tells for each import whether it may be lazy.

    ``may_leave_compiled``: a package with compiled modules may import other packages lazily.
    """
    eager = frozenset(name for name in eager_names if not name.endswith(".*"))
    eager_packages = tuple(name.removesuffix(".*") for name in eager_names if name.endswith(".*"))
    within = dict.fromkeys((*sys.stdlib_module_names, *ALWAYS_EAGER, *EAGER_WITHIN), True)
    compiled: set[str] = set()
    loaded = sys.modules

    def is_eager(imported: str, names: "tuple[str, ...] | None") -> bool:
        whole = [imported, *(f"{imported}.{name}" for name in names or ())]
        if any(name in eager or _is_in(name, eager_packages) for name in whole[1:]):
            return True
        if imported not in eager and not _is_in(imported, eager_packages):
            return False
        return not any(is_found(name) for name in whole[1:])

    def may_be_lazy(importing: str | None, imported: str, names: "tuple[str, ...] | None") -> bool:
        if importing is None or imported.partition(".")[0] in ALWAYS_EAGER:
            return False  # None: code outside of any module imports it
        package = importing.partition(".")[0]
        if package not in within:
            is_compiled = _is_compiled(loaded.get(package))
            within[package] = is_compiled and not may_leave_compiled
            if is_compiled:
                compiled.add(package)
        if within[package] or (package in compiled and _is_in(imported, (package,))):
            return False
        if importing == handler_module and names and function in names:
            return False
        if packages is not None and not _is_in(imported, packages):
            return False
        if (eager or eager_packages) and is_eager(imported, names):
            return False
        if imported not in loaded:
            return is_found(imported)
        # A loaded module shows whether it has the names.
        return bool(names) and all(_has(loaded[imported], name) for name in names or ())

    return may_be_lazy


def _is_compiled(package: "ModuleType | None") -> bool:
    """Whether the package, or a package directly in it, has compiled modules."""
    if (getattr(package, "__file__", None) or "").endswith(_COMPILED):
        return True
    for folder in getattr(package, "__path__", ()):
        names = _names(folder)
        if any(name.endswith(_COMPILED) for name in names):
            return True
        for name in names:
            if "." not in name and any(it.endswith(_COMPILED) for it in _names(f"{folder}/{name}")):
                return True
    return False


def _names(folder: str) -> list[str]:
    try:
        return posix.listdir(folder)
    except OSError:
        return []


def _has(module: "ModuleType", name: str) -> bool:
    """Whether the module has it, or it is a module in it."""
    # Read as an attribute, the dictionary would import every lazy name in it.
    namespace = _dictionary["__dict__"].__get__(module)
    return (
        name in namespace
        or f"__lazy_{name}__" in namespace  # made lazy by lambda-runtime pack
        or is_found(f"{module.__name__}.{name}")
    )


def _is_in(name: str, packages: "Iterable[str]") -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


# The modules found so far, with the search path of their submodules: None if not a package.
_found: "dict[str, Sequence[str] | None]" = {}


def is_found(name: str) -> bool:
    """Whether the import system finds the module without executing any module."""
    if name in _found:
        return True
    try:
        spec = _find(name)
    except Exception:
        return False  # user code's finder has failed: the import itself shows the error
    if spec is None:
        return False
    _found[name] = spec.submodule_search_locations
    return True


def _find(name: str) -> "ModuleSpec | None":
    module = sys.modules.get(name)
    if module is not None:
        return module.__spec__
    package = name.rpartition(".")[0]
    path: Sequence[str] | None = None
    if package:
        if not is_found(package):
            return None
        # A package's code may have changed its path.
        path = getattr(sys.modules.get(package), "__path__", _found[package])
        if path is None:
            return None
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        if find_spec is not None and (spec := find_spec(name, path)) is not None:
            return spec  # type: ignore[no-any-return]
    return None
