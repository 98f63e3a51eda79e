"""Loads the runtime from the bundle that ``bundle`` wrote.

No code imports this module. ``bundle`` puts its byte-code first in the file, and ``bootstrap``
executes it with ``home``, the package's folder; ``modules``, byte-code by module name; ``content``,
the whole file; and ``sizes``, by name the length of the marshalled byte-code at the file's end.
"""

import sys

try:
    from _frozen_importlib import ModuleSpec
except ImportError:
    from importlib.machinery import ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

home: str = globals()["home"]
modules: "dict[str, CodeType | memoryview]" = globals()["modules"]
content: memoryview = globals()["content"]
sizes: dict[str, int] = globals()["sizes"]


class ColdFinder:
    """Finder and loader for the first modules, until ``trusted`` is loaded and takes over."""

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> "ModuleSpec | None":
        code = modules.get(name)
        if code is None:
            return None
        assert not isinstance(code, memoryview)
        file = f"{home}/{code.co_filename}"
        is_package = file.endswith("/__init__.py")
        spec = ModuleSpec(name, self, origin=file, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [file.rpartition("/")[0]]
        return spec

    def create_module(self, spec: ModuleSpec) -> "ModuleType | None":
        return None

    def exec_module(self, module: "ModuleType") -> None:
        code = modules.pop(module.__name__)
        assert not isinstance(code, memoryview)
        exec(_moved(code, module.__file__), vars(module))
        if module.__name__ == "lambda_runtime.ground.trusted":
            sys.meta_path.remove(self)
            at = len(content)
            for late in reversed(sizes):
                modules[late] = content[at - sizes[late] : at]
                at -= sizes[late]
            module.bundled.update(modules)


def _moved(code: "CodeType", file: "str | None") -> "CodeType":
    """The code and its functions, with this file as their source file."""
    try:
        from _imp import _fix_co_filename  # type: ignore[attr-defined]
    except ImportError:
        moved = (_moved(it, file) if type(it) is type(code) else it for it in code.co_consts)
        return code.replace(co_filename=file or code.co_filename, co_consts=tuple(moved))
    _fix_co_filename(code, file)
    return code


sys.meta_path.insert(0, ColdFinder())
