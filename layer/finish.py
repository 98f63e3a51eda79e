"""Compiles and zips a layer. Runs under the layer's own CPython, so it imports nothing but that.

    python3.13 -I -S finish.py compile TREE MOUNTED
    python3.13 -I -S finish.py zip TREE FILE

The same interpreter, and the same zlib in it, on every machine: this is what makes the same input
give the same bytes.
"""

import compileall
import os
import re
import sys
from py_compile import PycInvalidationMode

sys.path.insert(0, os.path.dirname(__file__))
import zips  # type: ignore[import-not-found]  # beside this file, not in a package


def compile_tree(tree: str, mounted: str) -> None:
    """Writes the byte-code of every source below `tree`, which Lambda will show at `mounted`.

    Unchecked: nobody changes a source in a layer, and a check would cost a system call a module.
    Without what stands in for modules in C that are there: a hundred kilobytes that nobody loads.
    """
    done = compileall.compile_dir(
        tree,
        stripdir=tree,
        prependdir=mounted,
        quiet=1,
        force=True,
        workers=1,
        maxlevels=99,
        rx=re.compile(r"/(_pydecimal|_pyio)\.py$"),
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise SystemExit("a source of the layer does not compile: see above")


if __name__ == "__main__":
    {"compile": compile_tree, "zip": zips.write}[sys.argv[1]](*sys.argv[2:])
