"""Loads the runtime from the bundle that ``bundle`` wrote.

No code imports this module. ``bundle`` puts its byte-code first in the file, and ``bootstrap``
executes it with ``home``, the package's folder; ``modules``, byte-code by module name, in the order
of the modules' imports; ``content``, the whole file; and ``sizes``, by name the length of the
marshalled byte-code at the file's end.

It makes the modules itself. An ``import`` for each would take twice as long as their code.
"""

import sys

try:
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import SourceFileLoader
except ImportError:
    from importlib.machinery import ModuleSpec, SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

home: str = globals()["home"]
modules: "dict[str, CodeType | memoryview]" = globals()["modules"]
content: memoryview = globals()["content"]
sizes: dict[str, int] = globals()["sizes"]

loaded = sys.modules


def make(name: str, file: str) -> "ModuleType":
    """The module, as an import of this file makes it, before its code has run."""
    is_package = file.endswith("/__init__.py")
    loader = (SourceFileLoader if trusted is None else trusted.BundleLoader)(name, file)
    spec = ModuleSpec(name, loader, origin=file, is_package=is_package)
    spec.has_location = True
    module = loaded[name] = type(sys)(name)
    namespace = vars(module)
    namespace["__spec__"], namespace["__loader__"], namespace["__file__"] = spec, loader, file
    parent, _, tail = name.rpartition(".")
    namespace["__package__"] = name if is_package else parent
    if is_package:
        namespace["__path__"] = spec.submodule_search_locations = [file.rpartition("/")[0]]
    if parent:
        setattr(loaded[parent], tail, module)
    return module


def moved(code: "CodeType", file: str) -> "CodeType":
    """The code and its functions, with this file as their source file."""
    try:
        from _imp import _fix_co_filename  # type: ignore[attr-defined]
    except ImportError:
        parts = (moved(it, file) if type(it) is type(code) else it for it in code.co_consts)
        return code.replace(co_filename=file, co_consts=tuple(parts))
    _fix_co_filename(code, file)
    return code


trusted: "Any" = None
for name in tuple(modules):
    code = modules.pop(name, None)
    if code is None:
        continue  # another module has imported it already
    assert not isinstance(code, memoryview)
    file = f"{home}/{code.co_filename}"
    module = make(name, file)
    if trusted is not None:
        trusted.adopt(module)
    exec(moved(code, file), vars(module))
    if name == "lambda_runtime.ground.trusted":
        trusted = module
        trusted.bundled = modules
at = len(content)
for late in reversed(sizes):
    modules[late] = content[at - sizes[late] : at]
    at -= sizes[late]
