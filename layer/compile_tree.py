"""Compiles sources. Runs under the interpreters of the lock, so it imports nothing but those.

    python3.13 -I -S compile_tree.py TREE MOUNTED [EXCEPT]

Only an interpreter's own kind can make its byte-code, and the lock's makes the same everywhere.
"""

import compileall
import re
import sys
from py_compile import PycInvalidationMode


def compile_tree(tree: str, mounted: str, left_out: str = "$never") -> None:
    """Write the byte-code of every source below `tree`, which Lambda will show at `mounted`.

    Unchecked: nobody changes a source in a layer or an image, and a check would cost a system call
    a module. `left_out` is an expression for paths that are not compiled.
    """
    done = compileall.compile_dir(
        tree,
        stripdir=tree,
        prependdir=mounted,
        quiet=1,
        force=True,
        workers=1,
        maxlevels=99,
        rx=re.compile(left_out),
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise SystemExit("a source does not compile: see above")


if __name__ == "__main__":
    compile_tree(*sys.argv[1:])
