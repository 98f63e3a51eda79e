"""Modules that import names when they are looked up: ``lambda-runtime pack --lazy``.

``packer.lazy`` makes their code. This module handles lookups from outside: an access to an
attribute imports that name, and a read of the module's namespace imports all lazy names. If lazy
imports have left out a module within a package, an access to it as an attribute of the package
imports it: code may rely on other code having imported it.
"""

import sys
from types import ModuleType

from lambda_runtime.ground import trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

STATE = "__lazy_imports__"
"""The name in a lazy module that holds its lazy names, and the modules that are left out."""

_NOTHING: "tuple[tuple[str, ...], frozenset[str]]" = ((), frozenset())
_dictionary: "Any" = vars(ModuleType)["__dict__"]


def namespace_of(module: ModuleType) -> "dict[str, Any]":
    """The module's namespace as it is, without importing the lazy names."""
    found: dict[str, Any] = _dictionary.__get__(module)
    return found


asked_for: set[str] = set()
"""The modules that an access to an attribute of their package has imported."""


class LazyModule(ModuleType):
    """A module that imports some of its names, or modules within it, when they are accessed."""

    def __getattr__(self, name: str) -> "Any":
        namespace = namespace_of(self)
        names, modules = namespace.get(STATE, _NOTHING)
        if name in names and namespace.get(f"__lazy_{name}__"):
            value = namespace[f"__load_{name}__"]()
            settle(self)
            return value
        if name in modules:
            inner = f"{self.__name__}.{name}"
            asked_for.add(inner)
            return trusted.import_of_users(inner)
        return ModuleType.__getattribute__(self, name)  # raises the usual error

    @property
    def __dict__(self) -> "dict[str, Any]":  # type: ignore[override]
        namespace: dict[str, Any] = namespace_of(self)
        for name in namespace.get(STATE, _NOTHING)[0]:
            if namespace.get(f"__lazy_{name}__"):
                namespace[f"__load_{name}__"]()
        settle(self)
        return namespace


def make_lazy(module: ModuleType, names: "Iterable[str]", modules: "Iterable[str]") -> None:
    """Make the module import these names, and modules within it, when they are accessed."""
    if type(module) in (ModuleType, LazyModule):  # user code may have replaced the module
        namespace_of(module)[STATE] = (tuple(names), frozenset(modules))
        module.__class__ = LazyModule


def names_by_state(module: ModuleType) -> "dict[str, bool]":
    """The module's lazy names, each with whether it is not imported yet."""
    namespace = namespace_of(module)
    names = namespace.get(STATE, _NOTHING)[0]
    return {name: bool(namespace.get(f"__lazy_{name}__", True)) for name in names}


def lazy_modules() -> "dict[str, dict[str, bool]]":
    """All loaded lazy modules, each with its names and whether these are still lazy."""
    return {
        name: names_by_state(module)
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and STATE in namespace_of(module)
    }


def settle(module: ModuleType) -> None:
    """Make the module a plain one again if nothing in it is lazy any more."""
    namespace = namespace_of(module)
    names, modules = namespace.get(STATE, _NOTHING)
    is_done = all(namespace.get(f"__lazy_{name}__") is False for name in names)
    if is_done and modules <= namespace.keys() and type(module) is LazyModule:
        module.__class__ = ModuleType  # type: ignore[assignment]
