"""Knows whether this process answers invocations, whether it has been terminated, and its forks.

A function may fork. The child must not answer the invocation: its parent does. A worker of
``concurrency`` is a child too, and claims to answer.
"""

import _thread
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Process:
    """The state of this process; ``process`` is the only instance."""

    def __init__(self) -> None:
        self.owner = posix.getpid()
        """The process that answers: this one, unless it has been forked since."""
        self.main_thread = _thread.get_ident()
        """The identifier of the thread in which signal handlers run, and may raise."""
        self._before_fork: list[Callable[[], object]] = []
        self._in_child: list[Callable[[], object]] = []
        self.is_terminated = False
        """Whether a SIGTERM has ended the environment: the platform waits for no more answers."""

    def is_forked(self) -> bool:
        """Whether this is a child that user code forked."""
        return posix.getpid() != self.owner

    def claim(self) -> None:
        """From now on this process answers invocations, like the one that forked it."""
        self.owner, self.main_thread = posix.getpid(), _thread.get_ident()

    def before_fork(self, action: "Callable[[], object]") -> None:
        """Call the action in the parent process before every fork."""
        self._register()
        self._before_fork.append(action)

    def in_child(self, action: "Callable[[], object]") -> None:
        """Call the action in every child process, right after the fork."""
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
            pass  # the other actions still run, and the fork goes on


process = Process()
