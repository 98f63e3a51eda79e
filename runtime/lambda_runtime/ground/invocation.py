"""The invocations under way: the one place that knows them, for logs, traces and deadlines."""

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
    """What there is to know of them; ``under_way`` is the only one.

    Where one invocation runs at a time, it is ``current``, for the whole process and not by thread
    or task: user code logs from threads of its own, and all of them work for that one. Where
    several do, a context variable tells, in every thread and task, which one it works for, and
    ``runners`` lists where they run. With asyncio there is that variable too: a task may outlive
    the invocation that has started it.
    """

    def __init__(self) -> None:
        self.current: Invocation | None = None
        """The one invocation under way; None between two."""
        self.latest: Invocation | None = None
        """The last that has begun: to it belongs what is logged after its answer."""
        self.runners: dict[Invocation, Runner] = {}
        """Several invocations under way, each with its thread or task."""
        self.all_runners: Callable[[], Collection[Runner]] = tuple
        """Where several invocations run and may run: a trace of one leaves the others' out."""
        self.interrupt: Callable[[Invocation, float], None] | None = None
        """What ends an invocation whose time is nearly up, so many milliseconds before that."""
        self.leading: tuple[CodeType, ...] = ()
        """Functions of the runtime through which user code is reached: traces start below them."""
        self.init_trace_ms = 0
        """When to log where the init is, in milliseconds after the process's start; 0 if it is
        over."""
        self.watched_ms = 0
        """An invocation with an earlier deadline than this one has to wake the thread that watches
        them; 0 if there is no such thread to be."""
        self._watch: Callable[[_thread.LockType], None] | None = None
        self._alarm: _thread.LockType | None = None
        self._owner: ContextVar[Invocation | None] | None = None

    def begin(self, invocation: "Invocation") -> None:
        """The invocation is under way, as the only one."""
        self.current = self.latest = invocation
        if 0 < invocation.deadline_ms < self.watched_ms:
            self._wake(invocation.deadline_ms)

    def begin_beside(self, invocation: "Invocation", runner: "Runner") -> None:
        """The invocation is under way in the present context, beside others."""
        self.owner.set(invocation)
        self.runners[invocation] = runner
        if 0 < invocation.deadline_ms < self.watched_ms:
            self._wake(invocation.deadline_ms)

    def end(self, invocation: "Invocation") -> bool:
        """The invocation, one of several, is over; whether it had begun."""
        return self.runners.pop(invocation, None) is not None

    def forget(self) -> None:
        """No invocation is under way, and none comes any more."""
        self.current = self.latest = None

    def all(self) -> "Collection[Invocation]":
        """Those under way, at this moment."""
        current = self.current
        return list(self.runners) if current is None else (current,)

    def has(self, invocation: "Invocation") -> bool:
        """Whether this one is under way."""
        return invocation is self.current or invocation in self.runners

    @property
    def owner(self) -> "ContextVar[Invocation | None]":
        """The context variable that holds the invocation of a thread or a task.

        It holds None if the thread or the task was started for no invocation.
        """
        if self._owner is None:
            from contextvars import ContextVar

            self._owner = ContextVar("invocation", default=None)
        return self._owner

    def of_context(self) -> "Invocation | None":
        """The invocation for which this thread or task was started.

        None where only one invocation can be under way.
        """
        return None if self._owner is None else self._owner.get()

    def is_in_thread(self) -> bool:
        """Whether this thread's invocation is one of several, each in a thread of its own."""
        invocation = self.of_context()
        return invocation is not None and type(self.runners.get(invocation)) is int

    def of_caller(self) -> "Invocation | None":
        """The invocation that the code at work here belongs to, as far as can be told."""
        return self.of_context() or self.latest

    def request_id(self) -> str:
        """The request id of that invocation, "" where there is none."""
        invocation = self.of_caller()
        return "" if invocation is None else invocation.request_id

    def tenant_id(self) -> str | None:
        """The tenant id of that invocation, if it has one."""
        invocation = self.of_caller()
        return None if invocation is None else invocation.tenant_id

    def watch(self, watch: "Callable[[_thread.LockType], None]", *, at_once: bool = False) -> None:
        """Have a thread call this, ``at_once`` or when an invocation first has a deadline.

        It is given the lock that is released to wake it. The thread sleeps until shortly before the
        deadline. Most invocations are over by then, and those that are under way have later
        deadlines: for the thread, a reason to sleep on; for an invocation, no reason to wake it.
        """
        self._watch, self.watched_ms = watch, NEVER
        if at_once:
            self._start()

    def watch_no_more(self) -> None:
        """Nothing is to be done any more when an invocation's time is up."""
        self.watched_ms = 0

    def watch_anew(self) -> None:
        """In a forked process: the thread is the other one's."""
        self._alarm, self.watched_ms = None, NEVER if self.watched_ms else 0

    def _wake(self, deadline_ms: int) -> None:
        self.watched_ms = deadline_ms
        if self._alarm is None:
            self._start()
            if self._alarm is None:
                self.watched_ms = 0  # no trace, but an answer
            return
        try:
            self._alarm.release()
        except RuntimeError:
            pass  # it is awake already

    def _start(self) -> None:
        """Start the thread, if there is one to be had."""
        assert self._watch is not None
        alarm = _thread.allocate_lock()
        alarm.acquire()
        try:
            _thread.start_new_thread(self._watch, (alarm,))
        except RuntimeError:
            return
        self._alarm = alarm


under_way = UnderWay()
