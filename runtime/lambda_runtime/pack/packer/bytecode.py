"""Writes byte-code files. Runs in the target's Python, which makes its own byte-code.

The function's own modules get byte-code that is checked against a hash of the source: an edit in
Lambda's console takes effect at once. Modules of distributions get byte-code that is never checked.
Neither depends on the times of files, which installers and archives do not keep. In a layer all
byte-code is checked: Lambda may put another layer's sources over those of this one.
"""

import os
import py_compile
import warnings
from collections.abc import Callable

_CHECKED = py_compile.PycInvalidationMode.CHECKED_HASH
_UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def write(
    root: str,
    deployed: str,
    is_genuine: Callable[[str, bytes], bool],
    first: set[str],
    allowance: int,
) -> dict[str, int]:
    """Compile the sources below ``root``, those in ``first`` before the others.

    Writes at most ``allowance`` bytes. Skips sources that this Python cannot compile: some packages
    contain such files, for other versions or as templates. Returns the counts.
    """
    done = {"files": 0, "bytes": 0, "left_out": 0, "not_compiled": 0}
    for file in sorted(_sources(root), key=lambda file: (file not in first, file)):
        written = _compile(root, deployed, file, is_genuine, allowance - done["bytes"])
        if written is None:
            done["not_compiled"] += 1
        elif written:
            done["files"] += 1
            done["bytes"] += written
        else:
            done["left_out"] += 1
    return done


def _sources(root: str) -> list[str]:
    return [
        os.path.relpath(f"{folder}/{name}", root)
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith(".py")
    ]


def _compile(
    root: str, deployed: str, file: str, is_genuine: Callable[[str, bytes], bool], allowance: int
) -> int | None:
    path = f"{root}/{file}"
    with open(path, "rb") as opened:
        genuine = is_genuine(file, opened.read())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cached = py_compile.compile(
                path,
                dfile=f"{deployed}/{file}",
                doraise=True,
                invalidation_mode=_UNCHECKED if genuine else _CHECKED,
            )
    except (py_compile.PyCompileError, ValueError, OSError):
        return None
    assert cached is not None
    size = os.path.getsize(cached)
    if size > allowance:
        os.remove(cached)
        return 0
    return size
