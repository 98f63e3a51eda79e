"""Compiles what `frozen` puts into an interpreter. Runs under the lock's interpreters.

    python3.13 -I -S start_code.py FILES

FILES is a JSON object, see `main`. So is the result, with bytes in hexadecimal.

Each Python version must make its own byte-code, as `compile_tree` says.
"""

import _imp
import io
import json
import marshal
import sys

#: Every start of CPython imports these from the standard library's folder: the encodings of paths
#: and streams, and for `-c` the cache of source lines.
_MODULES = ("encodings", "encodings.aliases", "encodings.utf_8", "linecache")
_GETPATH = b"<frozen getpath>"
#: The starts of a module's code in marshal's format: its type, without and with the flag that
#: later objects may refer to it, and no arguments of three kinds.
_CODE_MARKS = (b"c" + bytes(12), b"\xe3" + bytes(12))
_FARTHEST = 64 * 1024
#: CPython executes this code to find its prefix and the module search path: see Modules/getpath.py.
#: The names in capital letters, `py_setpath` and `config` are CPython's.
_PLAIN_START = """
import _imp
if (
    config.get("orig_argv", [""])[0] == {program!r}
    and (config.get("platlibdir") or PLATLIBDIR) == "lib"
    and not any(map(config.get, {unset!r}))
    and not (config["pythonpath_env"] or py_setpath)
    and not (ENV_PYTHONHOME or ENV_PYTHONEXECUTABLE or ENV___PYVENV_LAUNCHER__)
):
    config["program_name"] = config["executable"] = config["base_executable"] = {program!r}
    config["prefix"] = config["exec_prefix"] = {prefix!r}
    config["base_prefix"] = config["base_exec_prefix"] = {prefix!r}
    config["platlibdir"], config["stdlib_dir"] = "lib", {stdlib!r}
    config["module_search_paths"] = [{zip!r}, {stdlib!r}, {stdlib!r} + "/lib-dynload"]
    config["module_search_paths_set"] = 1
    list(map(__import__, {early!r}))
    _imp.create_builtin(type(_imp.__spec__)("gc", None)).freeze()
    if config.get("run_filename") == {script!r} and not config["site_import"]:
        import posix
        try:
            file = posix.open({script!r}, posix.O_RDONLY | posix.O_CLOEXEC)
            text = posix.read(file, {size})
            posix.close(file)
        except OSError:
            text = b""
        if text == {text!r}:
            import sys
            config["run_filename"], config["run_command"] = None, {command!r}
            sys.modules["linecache"] = type(sys.implementation)(_register_code=lambda *_: None)
else:
    exec(_imp.get_frozen_object({search!r}))
"""
#: Built-in modules that every start loads a moment later. Here they come before `gc.freeze`: they
#: have half of the objects of a start, and the interpreter empties them at its end without the
#: collector. Modules in Python come after it: what user code puts into their classes would not be
#: finalised. A subinterpreter's start is never plain, so that it can give all of its memory back.
#: The `gc` above is a module of its own: `gc` itself is loaded when somebody imports it.
_EARLY = ("_io", "marshal", "posix", "time", "_codecs")
#: What the start's caller may have decided. If it has decided anything, CPython's own code goes on.
_UNSET = (
    *("program_name", "home", "executable", "base_executable", "prefix", "exec_prefix"),
    *("base_prefix", "base_exec_prefix", "module_search_paths_set", "stdlib_dir"),
)
#: The frozen names of CPython's own code, of the code that does the bootstrap's work, and of the
#: runtime's bundle. No import statement can name them.
SEARCH, STARTER, BUNDLE = "<getpath>", "<bootstrap>", "<bundle>"
#: What the interpreter runs in place of the bootstrap's text, as by `-c`. CPython shows the text to
#: `linecache` first: to the stand-in from above, which the starter removes, as the run of a script
#: does not load this module. With `site` the start is a usual one: what its `.pth` files load would
#: have the stand-in for good.
_COMMAND = f"import _imp; exec(_imp.get_frozen_object({STARTER!r}))"
#: It leaves `__main__` as the run of a script does, and hands over as the bootstrap does.
_STARTER = """
import _imp
import marshal
import sys
from _frozen_importlib_external import SourceFileLoader

del sys.modules["linecache"]
__file__ = {script!r}
__loader__ = SourceFileLoader("__main__", __file__)
content = _imp.find_frozen({bundle!r}, withdata=True)[0]
exec(marshal.loads(content), {{"home": {home!r}, "content": content}})
from lambda_runtime.ground import trusted

trusted.load("lambda_runtime.entry").main(__file__)
"""


def main(
    executable: str,
    stdlib: str,
    prefix: str,
    bootstrap: str,
    script: str,
    bundle: str,
    mounted: str,
) -> None:
    """Print the parts for the interpreter in the file `executable`.

    `stdlib` is the folder of its standard library's sources, `bootstrap` and `bundle` are the
    runtime's files. At run time `prefix` is the interpreter's prefix, `script` the path of
    `bootstrap`, and `mounted` the folder of the runtime's package.
    """
    with open(executable, "rb") as file:
        place, search = _find_search(file.read())
    with open(bundle, "rb") as file:
        content = file.read()
    modules = [name for name in _MODULES if not _imp.is_frozen(name)]
    parts = {
        "place": place,
        "start": _plain_start(prefix, bootstrap, script).hex(),
        "modules": [
            *([name, *_compile(stdlib, prefix, name)] for name in modules),
            [STARTER, _starter(script, mounted).hex(), False],
            [BUNDLE, content.hex(), False],
            [SEARCH, search.hex(), False],
        ],
    }
    print(json.dumps(parts))


def _find_search(content: bytes) -> tuple[int, bytes]:
    """The offset of CPython's own code that searches for the prefix, and the code."""
    named = content.find(_GETPATH)
    for mark in _CODE_MARKS:
        place = named
        while (place := content.rfind(mark, max(0, named - _FARTHEST), place)) >= 0:
            size = _size_of_search(content[place : named + _FARTHEST])
            if size:
                return place, content[place : place + size]
    raise SystemExit("the interpreter has no code 'getpath' of the known form")


def _size_of_search(content: bytes) -> int:
    """The size of the code that `content` begins with; 0 if it does not begin with this code."""
    file = io.BytesIO(content)
    try:
        code = marshal.load(file)
    except (EOFError, TypeError, ValueError):
        return 0
    names = getattr(code, "co_filename", ""), getattr(code, "co_name", "")
    return file.tell() if names == (_GETPATH.decode(), "<module>") else 0


def _plain_start(prefix: str, bootstrap: str, script: str) -> bytes:
    version = "{}.{}".format(*sys.version_info)
    with open(bootstrap, "rb") as file:
        text = file.read()
    source = _PLAIN_START.format(
        program=f"{prefix}/bin/python{version}",
        prefix=prefix,
        stdlib=f"{prefix}/lib/python{version}",
        zip=f"{prefix}/lib/python{version.replace('.', '')}.zip",
        unset=_UNSET,
        script=script,
        text=text,
        size=len(text) + 1,
        command=_COMMAND,
        search=SEARCH,
        early=_EARLY,
    )
    return marshal.dumps(compile(source, _GETPATH.decode(), "exec", dont_inherit=True))


def _starter(script: str, mounted: str) -> bytes:
    source = _STARTER.format(script=script, bundle=BUNDLE, home=mounted)
    return marshal.dumps(compile(source, STARTER, "exec", dont_inherit=True))


def _compile(stdlib: str, prefix: str, name: str) -> tuple[str, bool]:
    """A module's code, with its file at run time as its file; and whether it is a package."""
    below = name.replace(".", "/")
    is_package = name == "encodings"
    below += "/__init__.py" if is_package else ".py"
    with open(f"{stdlib}/{below}", "rb") as file:
        source = file.read()
    version = "{}.{}".format(*sys.version_info)
    code = compile(source, f"{prefix}/lib/python{version}/{below}", "exec", dont_inherit=True)
    return marshal.dumps(code).hex(), is_package


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
