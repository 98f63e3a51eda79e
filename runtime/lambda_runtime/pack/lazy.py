"""Modules of which names are imported when they are looked up: ``lambda-runtime pack --lazy``.

``packer.lazy`` makes their code. Here is what they look like from outside: a name is imported when
an attribute of it is asked for, all of them when somebody reads the module's namespace. Modules
within a package that lazy imports have left out are imported when they are looked up as attributes
of the package: others rely on somebody having imported them.
"""

import sys
from types import ModuleType

from lambda_runtime.ground import trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

STATE = "__lazy_imports__"
"""The name of what a lazy module knows of itself: its lazy names, and modules that are left out."""

_NOTHING: "tuple[tuple[str, ...], frozenset[str]]" = ((), frozenset())
_dictionary: "Any" = vars(ModuleType)["__dict__"]


def namespace_of(module: ModuleType) -> "dict[str, Any]":
    """The module's namespace as it is, without importing what is lazy in it."""
    found: dict[str, Any] = _dictionary.__get__(module)
    return found


asked_for: set[str] = set()
"""The modules that were imported when they were looked up as attributes of their packages."""


class LazyModule(ModuleType):
    """A module that imports some of its names, or modules within it, when it is asked for them."""

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
        return ModuleType.__getattribute__(self, name)  # raises the error that it always had

    @property
    def __dict__(self) -> "dict[str, Any]":  # type: ignore[override]
        namespace: dict[str, Any] = namespace_of(self)
        for name in namespace.get(STATE, _NOTHING)[0]:
            if namespace.get(f"__lazy_{name}__"):
                namespace[f"__load_{name}__"]()
        settle(self)
        return namespace


def make_lazy(module: ModuleType, names: "Iterable[str]", modules: "Iterable[str]") -> None:
    """Have the module import these names, and modules within it, when it is asked for them."""
    if type(module) in (ModuleType, LazyModule):  # somebody may have put another thing in its place
        namespace_of(module)[STATE] = (tuple(names), frozenset(modules))
        module.__class__ = LazyModule


def names_by_state(module: ModuleType) -> "dict[str, bool]":
    """The module's lazy names, and whether each is still to be imported."""
    namespace = namespace_of(module)
    names = namespace.get(STATE, _NOTHING)[0]
    return {name: bool(namespace.get(f"__lazy_{name}__", True)) for name in names}


def lazy_modules() -> "dict[str, dict[str, bool]]":
    """All lazy modules that are loaded, each with its names and whether these are still lazy."""
    return {
        name: names_by_state(module)
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and STATE in namespace_of(module)
    }


def settle(module: ModuleType) -> None:
    """Have the module be a plain one again, when nothing of it is lazy any more."""
    namespace = namespace_of(module)
    names, modules = namespace.get(STATE, _NOTHING)
    is_done = all(namespace.get(f"__lazy_{name}__") is False for name in names)
    if is_done and modules <= namespace.keys() and type(module) is LazyModule:
        module.__class__ = ModuleType  # type: ignore[assignment]
