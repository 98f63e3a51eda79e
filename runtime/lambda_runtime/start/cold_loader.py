"""Loads the runtime from the bundle that ``bundle`` wrote.

No code imports this module. ``bundle`` puts its byte-code first in the file, and ``bootstrap``
executes it with ``home``, the package's folder, and ``content``, the whole file. ``bundle`` itself
adds ``cold``, where the cold path's byte-code begins, counted from the file's end, and ``sizes``,
by name the length of each late module's byte-code, which is the end of the file but for ``END``
bytes.

It makes the modules itself. An ``import`` for each would take twice as long as their code.
"""

import gc
import marshal
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
content = memoryview(globals()["content"])
cold: int = globals()["cold"]
sizes: dict[str, int] = globals()["sizes"]
END = 4
"""Bytes of the magic number."""

loaded = sys.modules
gc.disable()  # there is no garbage in what is loaded here
modules: "dict[str, CodeType | str]" = marshal.loads(content[-cold:])
"""The code of each module, or of one that is put off its path: its code is with the late ones."""


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
    if isinstance(code, str):
        trusted.put_off(make(name, f"{home}/{code}"))
        continue
    file = f"{home}/{code.co_filename}"
    module = make(name, file)
    if trusted is not None:
        trusted.adopt(module)
    exec(moved(code, file), vars(module))
    if name == "lambda_runtime.ground.trusted":
        trusted = module
        trusted.bundled = modules
bundled: dict[str, object] = trusted.bundled
at = len(content) - END
for late in reversed(sizes):
    bundled[late] = content[at - sizes[late] : at]
    at -= sizes[late]
gc.freeze()  # or the collector would look at all of it as soon as it is on
gc.enable()
