"""A pipe by which the kernel ends a worker with its supervisor, whatever user code has done.

The supervisor has the one end; nothing is ever written. When it ends, whichever way, the kernel
sends the owner of the other end the signal that was asked for: SIGKILL. A worker in a session of
its own, one that is blocked and one that ignores every signal end with it all the same.
"""

import fcntl
import posix

_SIGKILL = 9


class Lifeline:
    """Make it before the fork; then one process ``hold``s it, and the other is ``tied`` to it."""

    def __init__(self) -> None:
        self._end, self._held = posix.pipe()

    def hold(self) -> None:
        """In the supervisor: the other process ends when this one does."""
        posix.close(self._end)

    def release(self) -> None:
        """In the supervisor: the other process has ended; in a sibling: it is not ours."""
        posix.close(self._held)

    def discard(self) -> None:
        """There is no other process."""
        self.hold()
        self.release()

    def tie(self) -> None:
        """In the worker: end with the supervisor."""
        posix.close(self._held)
        fcntl.fcntl(self._end, fcntl.F_SETOWN, posix.getpid())
        fcntl.fcntl(self._end, fcntl.F_SETSIG, _SIGKILL)
        fcntl.fcntl(self._end, fcntl.F_SETFL, posix.O_RDONLY | fcntl.FASYNC | posix.O_NONBLOCK)
        try:
            posix.read(self._end, 1)
        except BlockingIOError:
            return
        posix._exit(1)  # the supervisor has ended just before
