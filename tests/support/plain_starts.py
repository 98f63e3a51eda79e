"""What a start of an interpreter, or of the runtime with it, leaves behind: asked in a root."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lambda_rie.roots import Root

_FACTS = (
    "import gc\n"
    "collected = [each['collections'] for each in gc.get_stats()]\n"
    "import encodings.utf_8, json, linecache, sys\n"
    "names = 'path prefix exec_prefix base_prefix base_exec_prefix executable _base_executable'\n"
    "facts = {name: getattr(sys, name) for name in (*names.split(), 'platlibdir', '_stdlib_dir')}\n"
    "modules = encodings, encodings.utf_8, linecache\n"
    "facts['files'] = [module.__file__ for module in modules]\n"
    "facts['origins'] = [module.__spec__.origin for module in modules]\n"
    "facts['collector'] = collected, gc.isenabled(), gc.get_threshold()\n"
    "print(json.dumps(facts))\n"
)
#: A function that tells about its process when it is imported, and ends it.
_FUNCTION = (
    "import sys\n"
    "loaded = sorted(sys.modules)\n"
    "import json, os\n"
    "from multiprocessing import spawn\n"
    "main = sys.modules['__main__']\n"
    "told = spawn.get_preparation_data('child')\n"
    "facts = {name: told.get(name) for name in ('sys_argv', 'sys_path', 'init_main_from_path')}\n"
    "facts |= {'orig_argv': sys.orig_argv, 'path': sys.path, 'flags': list(sys.flags)}\n"
    "facts |= {'name': main.__name__, 'file': main.__file__, 'spec': main.__spec__}\n"
    "facts |= {'loader': [type(main.__loader__).__name__, main.__loader__.path]}\n"
    "facts |= {'loaded': loaded}\n"
    "facts |= {'runtime': sys.modules['lambda_runtime'].__file__}\n"
    "print(json.dumps(facts), flush=True)\n"
    "os._exit(0)\n"
)


def facts(root: Root, program: str, **env: str) -> dict[str, Any]:
    """What a start of the interpreter has found, and what it has done for that."""
    result = root.run(program, "-S", "-P", "-c", _FACTS, env=env)
    assert result.returncode == 0, result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def facts_of_runtime(root: Root, *command: str, task: Path) -> dict[str, Any]:
    """What a function finds in its process when the runtime imports it."""
    (task / "app.py").write_text(_FUNCTION)
    address = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9", "_HANDLER": "app.handler"}
    result = root.bound(task=task).run(*command, env=address)
    assert result.returncode == 0, (result.stdout, result.stderr)
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def hide(folder: Path, *names: str) -> None:
    """Let these modules of a package end the process, if anybody executes their files."""
    for compiled in (folder / "__pycache__").glob("*"):
        if compiled.name.partition(".")[0] in {name.partition(".")[0] for name in names}:
            compiled.unlink()
    for name in names:
        (folder / name).unlink(missing_ok=True)  # it may be a link to a file of others
        (folder / name).write_text("raise SystemExit('this file was executed')\n")
