"""Keeps the invocations under way, in one place, for logs, traces and deadlines."""

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from contextvars import ContextVar
    from types import CodeType

    from lambda_runtime.runtime_api.client import Invocation

    Runner = object
    """A thread, by its identifier, or a task."""

NEVER = 1 << 62


class UnderWay:
    """The invocations under way; ``under_way`` is the only instance.

    Where one invocation runs at a time, it is ``current`` for the whole process: user code may log
    from threads of its own, and they all work for this invocation. Where several invocations run,
    a context variable holds the invocation of each thread and task, and ``runners`` lists their
    threads or tasks. With asyncio the variable exists too: a task may outlive the invocation that
    started it.
    """

    def __init__(self) -> None:
        self.current: Invocation | None = None
        """The only invocation under way; None between two invocations."""
        self.latest: Invocation | None = None
        """The invocation that began last: records after its answer still belong to it."""
        self.runners: dict[Invocation, Runner] = {}
        """The invocations under way where there may be several, each with its thread or task."""
        self.all_runners: Callable[[], Collection[Runner]] = tuple
        """Lists the threads or tasks of all invocations: a trace of one leaves out the others'."""
        self.interrupt: Callable[[Invocation, float], None] | None = None
        """Ends an invocation whose time is nearly up; called with the milliseconds left."""
        self.leading: tuple[CodeType, ...] = ()
        """The runtime's functions that lead to user code: stack traces start below them."""
        self.init_trace_ms = 0
        """When to log where the init is, in milliseconds after the process's start; 0 once the init
        is over."""
        self.watched_ms = 0
        """An invocation with an earlier deadline than this must wake the thread that watches
        deadlines; 0 if there must be no such thread."""
        self._watch: Callable[[_thread.LockType, bool], None] | None = None
        self._alarm: _thread.LockType | None = None
        self._owner: ContextVar[Invocation | None] | None = None

    def begin_beside(self, invocation: "Invocation", runner: "Runner") -> None:
        """Add the invocation to those under way, and bind it to the present context."""
        self.owner.set(invocation)
        self.runners[invocation] = runner
        if 0 < invocation.deadline_ms < self.watched_ms:
            self.wake(invocation.deadline_ms)

    def end(self, invocation: "Invocation") -> bool:
        """Remove the invocation, one of several. Whether it had begun."""
        return self.runners.pop(invocation, None) is not None

    def forget(self) -> None:
        """The process ends: no invocation is under way, and none will come."""
        self.current = self.latest = None

    def all(self) -> "Collection[Invocation]":
        """The invocations under way at this moment."""
        current = self.current
        return list(self.runners) if current is None else (current,)

    def has(self, invocation: "Invocation") -> bool:
        """Whether this invocation is under way."""
        return invocation is self.current or invocation in self.runners

    @property
    def owner(self) -> "ContextVar[Invocation | None]":
        """The context variable that holds the invocation of a thread or a task.

        It holds None if no invocation started the thread or the task.
        """
        if self._owner is None:
            from contextvars import ContextVar

            self._owner = ContextVar("invocation", default=None)
        return self._owner

    def of_context(self) -> "Invocation | None":
        """The invocation that started this thread or task.

        None where only one invocation can be under way.
        """
        return None if self._owner is None else self._owner.get()

    def is_in_thread(self) -> bool:
        """Whether this thread's invocation is one of several, each in a thread of its own."""
        if self.current is not None:
            return False
        invocation = self.of_context()
        return invocation is not None and type(self.runners.get(invocation)) is int

    def of_caller(self) -> "Invocation | None":
        """The invocation of the calling code: its context's, or else the latest."""
        return self.of_context() or self.latest

    def request_id(self) -> str:
        """The request id of the caller's invocation, "" if there is none."""
        invocation = self.of_caller()
        return "" if invocation is None else invocation.request_id

    def tenant_id(self) -> str | None:
        """The tenant id of the caller's invocation, if it has one."""
        invocation = self.of_caller()
        return None if invocation is None else invocation.tenant_id

    def watch(
        self, watch: "Callable[[_thread.LockType, bool], None]", seconds: float | None = None
    ) -> None:
        """Call ``watch`` in a thread: after so many seconds, or when an invocation has a deadline.

        ``watch`` gets a lock, and whether it has been released meanwhile: releasing the lock wakes
        the thread. The thread sleeps until shortly before the next deadline. By then, most
        invocations are over, and later ones have later deadlines. So most invocations need not wake
        the thread.
        """
        self._watch, self.watched_ms = watch, NEVER
        if seconds is not None:
            self._start(seconds)

    def watch_no_more(self) -> None:
        """Stop watching: nothing happens any more when an invocation's time is up."""
        self.watched_ms = 0

    def watch_anew(self) -> None:
        """In a forked process: start a new thread when needed, as threads do not survive a fork."""
        self._alarm, self.watched_ms = None, NEVER if self.watched_ms else 0

    def wake(self, deadline_ms: int) -> None:
        """Have this deadline watched, which is earlier than those watched so far."""
        self.watched_ms = deadline_ms
        if self._alarm is None:
            self._start(0)
            if self._alarm is None:
                self.watched_ms = 0  # no thread, so no trace; the invocation goes on
            return
        try:
            self._alarm.release()
        except RuntimeError:
            pass  # the thread is awake already

    def _start(self, seconds: float) -> None:
        """Start the thread, if the system has one left."""
        assert self._watch is not None
        alarm = _thread.allocate_lock()
        alarm.acquire()
        try:
            # Asleep before it runs any Python, the thread takes less of the time of the start.
            sleep = map(alarm.acquire, (True,), (seconds,))
            _thread.start_new_thread(next, (map(self._watch, (alarm,), sleep),))
        except RuntimeError:
            return
        self._alarm = alarm


under_way = UnderWay()
