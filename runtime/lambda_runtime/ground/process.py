"""This process: whether it is the one that answers, whether it goes on, and its forks.

A function may fork. The child has no invocation to answer: that remains its parent's. A worker of
``concurrency`` is a child that claims to be one that answers.
"""

import _thread
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Process:
    """What there is to know of it; ``process`` is the only one."""

    def __init__(self) -> None:
        self._owner = posix.getpid()
        self.main_thread = _thread.get_ident()
        """The thread that gets the signals, and may raise for them."""
        self._before_fork: list[Callable[[], object]] = []
        self._in_child: list[Callable[[], object]] = []
        self.is_terminated = False
        """Whether a SIGTERM has ended the environment: nobody waits for an answer any more."""

    def is_forked(self) -> bool:
        """Whether this is a child that user code forked."""
        return posix.getpid() != self._owner

    def claim(self) -> None:
        """This process, and no longer the one that it was forked from, is the one that answers."""
        self._owner, self.main_thread = posix.getpid(), _thread.get_ident()

    def before_fork(self, action: "Callable[[], object]") -> None:
        """Call it in the process that forks, before every fork."""
        self._register()
        self._before_fork.append(action)

    def in_child(self, action: "Callable[[], object]") -> None:
        """Call it in every child, after the fork."""
        self._register()
        self._in_child.append(action)

    def _register(self) -> None:
        if not self._before_fork and not self._in_child:
            posix.register_at_fork(
                before=lambda: _call(self._before_fork),
                after_in_child=lambda: _call(self._in_child),
            )


def _call(actions: "list[Callable[[], object]]") -> None:
    for action in actions:
        try:
            action()
        except Exception:
            pass  # the others' turn; and a fork does not fail for it


process = Process()
