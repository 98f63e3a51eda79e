"""Compiles and zips a layer. Runs under the layer's own CPython, so it imports nothing but that.

    python3.13 -I -S finish.py compile TREE MOUNTED
    python3.13 -I -S finish.py zip TREE FILE

The same interpreter, and the same zlib in it, on every machine: this is what makes the same input
give the same bytes.
"""

import compileall
import os
import sys
import zipfile
from py_compile import PycInvalidationMode

_EPOCH = (1980, 1, 1, 0, 0, 0)


def compile_tree(tree: str, mounted: str) -> None:
    """Writes the byte-code of every source below `tree`, which Lambda will show at `mounted`.

    Unchecked: nobody changes a source in a layer, and a check would cost a system call a module.
    """
    done = compileall.compile_dir(
        tree,
        stripdir=tree,
        prependdir=mounted,
        quiet=1,
        workers=1,
        maxlevels=99,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not done:
        raise SystemExit("a source of the layer does not compile: see above")


def zip_tree(tree: str, target: str) -> None:
    """Zips the files below `tree`: sorted, of 1980, readable by all, executable as they are."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(_files(tree)):
            info = zipfile.ZipInfo(os.path.relpath(path, tree), _EPOCH)
            info.create_system = 3  # Unix, whose modes follow
            executable = os.stat(path).st_mode & 0o100
            info.external_attr = (0o100755 if executable else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            with open(path, "rb") as file:
                archive.writestr(info, file.read())


def _files(tree: str) -> list[str]:
    return [os.path.join(folder, name) for folder, _, names in os.walk(tree) for name in names]


if __name__ == "__main__":
    {"compile": compile_tree, "zip": zip_tree}[sys.argv[1]](*sys.argv[2:])
