"""Compiles sources. Runs under the lock's interpreters, so it imports only the standard library.

    python3.13 -I -S compile_tree.py TREE MOUNTED [EXCEPT]

Each Python version must make its own byte-code. The lock's interpreters make the same bytes on
every machine.
"""

import compileall
import re
import sys
from py_compile import PycInvalidationMode


def compile_tree(tree: str, mounted: str, left_out: str = "$never") -> None:
    """Write the byte-code of every source below `tree`, which Lambda mounts at `mounted`.

    At run time Python does not compare the byte-code with its source: sources in a layer or an
    image never change, and the check would cost one system call per module. Paths that match the
    regular expression `left_out` are not compiled.
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
