"""Knows when the interpreter drops an exception with which the runtime interrupts user code.

Nobody can catch what is raised in ``__del__`` or in the callback of a weak reference, and
``importlib`` has such a callback for each module that it loads. The interpreter gives the exception
to ``sys.unraisablehook``, which prints it, and the code goes on. So the runtime has to interrupt it
once more.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_owners: "list[Callable[[BaseException], bool]]" = []
_previous: "Callable[[sys.UnraisableHookArgs], object]" = sys.__unraisablehook__


def watch(is_repeated: "Callable[[BaseException], bool]") -> None:
    """Call the function with each exception that is dropped from now on.

    It raises the exception again, a little later, and returns True. If the exception is none of
    its own, it returns False: then it is printed as usual.
    """
    global _previous
    if not _owners:
        if callable(sys.unraisablehook):  # with None, the interpreter uses its own
            _previous = sys.unraisablehook
        sys.unraisablehook = _take
    if is_repeated not in _owners:
        _owners.append(is_repeated)


def _take(dropped: "sys.UnraisableHookArgs") -> None:
    error = dropped.exc_value
    if error is None or not any(is_repeated(error) for is_repeated in _owners):
        _previous(dropped)
