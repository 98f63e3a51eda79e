"""Loads the runtime from the bundle that ``bundle`` wrote.

No code imports this module. ``bundle`` puts its byte-code first in the file, and ``bootstrap``
executes it with ``home``, the package's folder, and ``content``, the whole file. ``bundle`` itself
adds ``cold`` and ``index``: where the cold path's byte-code begins, and where the index of the late
modules. Both are negative, as they are counted from the file's end.

It makes the modules itself. An ``import`` for each would take twice as long as their code.
"""

import gc
import marshal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

gc.disable()  # there is no garbage in what is loaded here


def load(home: str, content: memoryview, cold: int, index: int) -> None:
    """Load the modules of the cold path. In a function, names are found in half the time."""
    codes: dict[str, CodeType | str] = marshal.loads(content[cold:])
    # The code of each module, or of one that is put off its path: its code is with the late ones.
    loaded, new = sys.modules, type(sys)
    trusted: Any = None
    for name in tuple(codes):
        code = codes.pop(name, None)
        if code is None:
            continue  # another module has imported it already
        path = f"{home}/{code if isinstance(code, str) else code.co_filename}"
        # The module, as an import of this file makes it. Its spec and its loader are made when
        # somebody asks for them, as few do.
        module = loaded[name] = new(name)
        namespace = vars(module)
        namespace["__file__"] = path
        parent, _, tail = name.rpartition(".")
        if path.endswith("/__init__.py"):
            namespace["__package__"] = name
            namespace["__path__"] = [path[:-12]]
        else:
            namespace["__package__"] = parent
        if parent:
            setattr(loaded[parent], tail, module)
        if isinstance(code, str):
            trusted.put_off(module)
            continue
        find = None if trusted is None else trusted.adopt(module)
        exec(moved(code, path), namespace)
        if find is not None and namespace["__getattr__"] is not find:
            trusted.adopt(module)  # the module has such a function itself
        if name == "lambda_runtime.ground.trusted":
            trusted = module
            trusted.bundled = codes
            for first in ("lambda_runtime", "lambda_runtime.ground", name):
                trusted.adopt(loaded[first])
    trusted.packed = content, index


def moved(code: "CodeType", file: str) -> "CodeType":
    """The code and its functions, with this file as their source file."""
    try:
        from _imp import _fix_co_filename  # type: ignore[attr-defined]
    except ImportError:
        parts = (moved(it, file) if type(it) is type(code) else it for it in code.co_consts)
        return code.replace(co_filename=file, co_consts=tuple(parts))
    _fix_co_filename(code, file)
    return code


given = globals()
load(given["home"], memoryview(given["content"]), given["cold"], given["index"])
gc.freeze()  # or the collector would look at all of it as soon as it is on
gc.enable()
