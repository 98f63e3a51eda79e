"""A pipe by which the kernel ends a worker with its supervisor, whatever user code has done.

The supervisor holds one end, and never writes to it. When the supervisor ends, for whatever reason,
the kernel sends SIGKILL to the owner of the other end. So a worker also ends if it has moved to
another session, is blocked or ignores every signal.
"""

import fcntl
import posix

_SIGKILL = 9


class Lifeline:
    """Make it before the fork. Then the supervisor calls ``hold``, and the worker ``tie``."""

    def __init__(self) -> None:
        self._end, self._held = posix.pipe()

    def hold(self) -> None:
        """In the supervisor: keep the end whose closing ends the worker."""
        posix.close(self._end)

    def release(self) -> None:
        """Close the supervisor's end: in it after the worker's end, and in every other worker."""
        posix.close(self._held)

    def discard(self) -> None:
        """The fork has failed: close both ends."""
        self.hold()
        self.release()

    def tie(self) -> None:
        """In the worker: end when the supervisor ends."""
        posix.close(self._held)
        fcntl.fcntl(self._end, fcntl.F_SETOWN, posix.getpid())
        fcntl.fcntl(self._end, fcntl.F_SETSIG, _SIGKILL)
        fcntl.fcntl(self._end, fcntl.F_SETFL, posix.O_RDONLY | fcntl.FASYNC | posix.O_NONBLOCK)
        try:
            posix.read(self._end, 1)
        except BlockingIOError:
            return
        posix._exit(1)  # the supervisor has ended just before
