"""Starts the workers, starts others for those that die, and answers what they leave behind.

Theory of operation
-------------------
The first worker is started alone. When its init is over it reports its mode, and waits for
a word; the supervisor registers the extension that SIGTERM needs, if the worker has something to do
then, gives the word, and starts the other workers, if the mode has any. The word comes before the
first ``next``, which ends the init for the platform.

If the first worker dies in its init, that is the environment's end, and for the same reason. Any
other that dies is replaced, after a pause if it had no event since its start; when that happens to
one after the other and nobody else is left to serve, the environment ends too.

A worker that cannot answer what it has in flight says so in the table, and sends SIGCHLD. One that
is stuck (``watchdog``) is killed. One that its supervisor has left behind is killed by the kernel
(``lifeline``).

The supervisor waits in one place: for signals, which a socket tells it of (SIGCHLD, SIGTERM), for
reports, and for the time of the next look or the end of a pause.
"""

import posix
import select
import sys
import time

try:
    import _signal  # type: ignore[import-not-found]
except ImportError:
    import signal as _signal
try:
    import _socket
except ImportError:
    import socket as _socket  # type: ignore[no-redef]

from lambda_runtime import logs, payload, shutdown
from lambda_runtime.concurrency import modes, watchdog
from lambda_runtime.concurrency.client import SupervisorClient
from lambda_runtime.concurrency.handover import Orphan, Receiver
from lambda_runtime.concurrency.in_flight import BUSY, HELPLESS, OVER, InFlightTable, Slot
from lambda_runtime.concurrency.lifeline import Lifeline
from lambda_runtime.concurrency.output import OutputLock
from lambda_runtime.concurrency.shared import warn
from lambda_runtime.concurrency.watchdog import Clock, Watch
from lambda_runtime.concurrency.worker import Worker, WorkerReady
from lambda_runtime.runtime_api.client import RuntimeApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_WINDOW_SECONDS = 0.45
"""How long workers may take to end after SIGTERM: slightly longer than they allow themselves."""

_LOADED_LATER = ("lambda_runtime.deadline", "lambda_runtime.ground.env_buffer")
"""What every worker comes to load in the end."""

_HELPLESS = "its process cannot answer, and is replaced"
_STUCK = "killed, as it has neither answered nor asked for an event for {} s"

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_SIGNALS = (_signal.SIGCHLD, _signal.SIGTERM, _signal.SIGINT)


class _Seat:
    """One worker, the ones that came before it and those that will come after it."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.pid = 0
        self.channel: _socket.socket | None = None
        self.lifeline: Lifeline | None = None
        self.receiver: Receiver | None = None
        """What it has given of its connections."""
        self.watch: Watch | None = None
        """What is known of it since it serves."""
        self.verdict = ""
        """Why it has been killed."""
        self.is_succeeded = False
        """Whether another seat has taken over: this one is gone with its worker."""
        self.failed_starts = 0
        """How many of its workers have ended in a row without an event."""
        self.due = 0.0
        """When its next worker is to be started, by the monotonic clock."""
        self._events_before = 0

    @property
    def serves(self) -> bool:
        """Whether its worker is initialised."""
        return self.watch is not None

    def started(self, pid: int, channel: _socket.socket, lifeline: Lifeline) -> None:
        """A worker has been started."""
        lifeline.hold()
        self.pid, self.channel, self.lifeline, self.verdict = pid, channel, lifeline, ""
        self._events_before = self._events()

    def exited(self) -> None:
        """The worker has ended."""
        self.pid, self.watch = 0, None
        self.failed_starts = self.failed_starts_now()

    def failed_starts_now(self) -> int:
        """How many there are with the present one."""
        return self.failed_starts + 1 if self._events() == self._events_before else 0

    def receive_connections(self, channel: _socket.socket) -> None:
        """From here on the worker gives its connections through the channel."""
        self.channel, self.receiver = None, Receiver(channel)

    def let_go(self) -> None:
        """Hold nothing more that leads to the worker."""
        self.end_report()
        if self.receiver is not None:
            self.receiver.close()
            self.receiver = None
        if self.lifeline is not None:
            self.lifeline.release()
            self.lifeline = None

    def end_report(self) -> None:
        """Nothing more is to be read from the worker."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None

    def pause(self) -> float:
        """Seconds before the next worker is started."""
        return (
            min(_FIRST_PAUSE * 2**self.failed_starts / 2, _LONGEST_PAUSE)
            if self.failed_starts
            else 0.0
        )

    def _events(self) -> int:
        return sum(slot.events for slot in self.slots)


class Supervisor:
    """Keeps the workers running that serve ``polls`` concurrent invocations.

    Raises FaultException for settings that cannot be followed.
    """

    def __init__(self, address: str, polls: int, output_lock: OutputLock) -> None:
        self._address = address
        self._client = SupervisorClient(address)
        # Where all polls are in one process, its successor begins while it ends.
        self._table = InFlightTable(2 * polls)
        self._seats = [_Seat(self._table.slots[:polls])]
        self._spare = [self._table.slots[polls:]]
        self._mode = ""
        self._terminated = False
        self._previous = {number: _signal.getsignal(number) for number in _SIGNALS}
        self._wakeup, self._woken = _socket.socketpair()
        self._wakeup.setblocking(False)
        self._woken.setblocking(False)
        self._orphans: list[Orphan] = []
        self._output_lock = output_lock
        self._patience = watchdog.patience()
        self._beat = watchdog.beat_seconds()
        self._clock = Clock(longest=2 * self._beat)
        self._next_look = 0.0

    def supervise(self) -> Worker:
        """Keep the workers running until the environment ends; returns in each of them, once."""
        for number in _SIGNALS:
            _signal.signal(number, self._on_signal)
        _signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        while True:
            for seat in self._seats:
                if not seat.pid and seat.due <= time.monotonic():
                    worker = self._start(seat)
                    if worker is not None:
                        return worker
            self._wait()
            for seat in list(self._seats):
                if seat.channel is not None:
                    self._read_report(seat, seat.channel)
                if self._has_ended(seat, posix.WNOHANG):
                    self._plan_next(seat)
                self._help(seat)
            self._read_orphans()
            self._look()
            if self._terminated:
                self._end()

    def _on_signal(self, number: int, frame: object) -> None:
        if number != _signal.SIGCHLD:
            self._terminated = True

    def _wait(self) -> None:
        """Until a signal, a report, the end of a pause, or the time of the next look."""
        channels = [seat.channel for seat in self._seats if seat.channel is not None]
        channels += [orphan.connection for orphan in self._orphans]
        times = [self._next_look, *(seat.due for seat in self._seats if not seat.pid)]
        times += [orphan.ends for orphan in self._orphans]
        self._poll(channels, min(times) - time.monotonic())

    def _poll(self, channels: list[_socket.socket], seconds: float) -> None:
        poll = select.poll()
        for each in (self._woken, *channels):
            poll.register(each, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000 + 1)
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            pass

    # the life of a worker

    def _start(self, seat: _Seat) -> Worker | None:
        """Fork a worker; in its process, it is what is returned."""
        logs.flush()
        lifeline = None
        _signal.pthread_sigmask(_signal.SIG_BLOCK, _SIGNALS)
        try:
            ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
            lifeline = Lifeline()
            pid = posix.fork()
            if not pid:
                ours.close()
                theirs.setblocking(True)  # init, done here, may have set a default timeout
                lifeline.tie()
                self._let_go()
                return Worker(self._address, seat.slots, theirs, self._output_lock)
            theirs.close()
            ours.setblocking(False)
            seat.started(pid, ours, lifeline)
        except OSError as error:
            if lifeline is not None:
                lifeline.discard()
            self._postpone(seat, f"cannot start a worker: {error.strerror}")
        finally:
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _SIGNALS)
        return None

    def _let_go(self) -> None:
        """In a worker's process: leave what is the supervisor's."""
        _signal.set_wakeup_fd(-1)
        for number, previous in self._previous.items():
            _signal.signal(number, _signal.SIG_DFL if previous is None else previous)
        self._wakeup.close()
        self._woken.close()
        self._client.reconnect()
        for seat in self._seats:
            seat.let_go()
        for orphan in self._orphans:
            orphan.connection.close()

    def _read_report(self, seat: _Seat, channel: _socket.socket) -> None:
        """Take the worker's word that it is initialised, and give it ours."""
        try:
            said = channel.recv(1024)
        except BlockingIOError:
            return
        if said:
            ready = WorkerReady.read(said)
            if not self._mode and ready.wants_extension:
                shutdown.register()
            if not self._mode:
                self._adopt_mode(ready)
            seat.watch = Watch(seat.slots, beats=self._mode in modes.SHARED)
            try:
                channel.send(b"\n")
            except OSError:
                pass  # it has died meanwhile
            if self._mode in modes.SHARED:
                return seat.receive_connections(channel)
        seat.end_report()

    def _adopt_mode(self, ready: WorkerReady) -> None:
        """Adopt the mode of the first worker, and plan as many others as it takes."""
        self._mode = ready.mode
        if ready.mode in modes.SHARED:
            return
        for module in (*_LOADED_LATER, *ready.modules):
            # Loaded here they are loaded once, and shared by those that are forked from now on.
            try:
                __import__(module)
            except Exception:
                pass  # the workers will do it themselves, and know what to make of it
        first = self._seats[0]
        first.slots, others = first.slots[:1], first.slots[1:]
        self._seats += [_Seat([slot]) for slot in others]

    def _has_ended(self, seat: _Seat, options: int) -> bool:
        """See whether the worker has ended, and if so answer for it."""
        if not seat.pid:
            return False
        pid, status = posix.waitpid(seat.pid, options)
        if not pid:
            return False
        code = posix.waitstatus_to_exitcode(status)
        seat.exited()
        if not self._mode:
            _exit_like(code)
        reason = seat.verdict or _describe_exit(code)
        self._take_orphans(seat, reason)
        seat.let_go()
        for slot in seat.slots:
            self._answer_for(slot, reason)
        self._read_orphans()
        if not self._terminated:
            warn(f"A worker has ended ({reason})", "")
        return True

    def _answer_for(self, slot: Slot, reason: str) -> None:
        """Answer what a worker had in flight. If it has done so itself, this one is refused."""
        in_flight = slot.in_flight
        slot.reset()
        for (request_id, invocation_id), _ in in_flight:
            self._answer(request_id, invocation_id, reason)

    def _answer(self, request_id: str, invocation_id: str, reason: str) -> None:
        text = f"RequestId: {request_id} Error: Runtime exited with error: {reason}"
        kind = "Runtime.ExitError"
        report = payload.encode({"errorMessage": text, "errorType": kind})
        try:
            self._client.post_invocation_error(request_id, report, "", invocation_id, kind)
        except RuntimeApiError as error:
            warn(f"The invocation remains without an answer: {error}", request_id)

    def _take_orphans(self, seat: _Seat, reason: str) -> None:
        """Take over the connections on which events may be that the worker has not looked at."""
        if seat.receiver is None:
            return
        for number, connection in list(seat.receiver.receive().items()):
            slot = seat.slots[number]
            if not slot.is_arriving:
                known = [request_id for (request_id, _), _ in slot.in_flight]
                self._orphans.append(Orphan(connection, reason, known))
                seat.receiver.leave(number)

    def _read_orphans(self) -> None:
        """Answer the events that dead workers have not looked at."""
        for orphan in self._orphans:
            for ids in orphan.read():
                self._answer(*ids, orphan.reason)
        now = time.monotonic()
        for orphan in [each for each in self._orphans if each.ends <= now]:
            self._orphans.remove(orphan)
            orphan.connection.close()

    def _help(self, seat: _Seat) -> None:
        """See to the polls that are over, in a worker that lives on for the others."""
        for slot in seat.slots:
            if slot.state == HELPLESS:
                self._answer_for(slot, _HELPLESS)
            elif slot.state == OVER:
                slot.state = BUSY
            else:
                continue
            self._succeed(seat)

    def _succeed(self, seat: _Seat) -> None:
        """Have another worker take over from one whose polls are over, or come to be."""
        if self._mode not in modes.SHARED or seat.is_succeeded or not self._spare:
            return
        seat.is_succeeded = True
        successor = _Seat(self._spare.pop())
        successor.failed_starts = seat.failed_starts_now()
        successor.due = time.monotonic() + successor.pause()
        self._seats.append(successor)
        if seat.receiver is not None:
            seat.receiver.retire()

    def _look(self) -> None:
        """From time to time, see whether a worker is stuck."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._beat
        now = self._clock.read()
        for seat in self._seats:
            if seat.receiver is not None:
                seat.receiver.receive()  # so that there is room
            if not self._patience or seat.watch is None or seat.verdict:
                continue
            if seat.watch.stuck_seconds(now, self._beat) >= self._patience:
                self._kill(seat, seat.watch)
            elif seat.watch.is_half_lost(now, self._patience):
                self._succeed(seat)

    def _kill(self, seat: _Seat, watch: Watch) -> None:
        if watchdog.is_held(seat.pid):
            watch.spare()
        else:
            seat.verdict = _STUCK.format(self._patience)
            posix.kill(seat.pid, _signal.SIGKILL)

    def _plan_next(self, seat: _Seat) -> None:
        failed_starts = sum(each.failed_starts for each in self._seats)
        if failed_starts >= max(2, len(self._seats)) and not any(
            each.serves for each in self._seats
        ):
            self._give_up("no worker gets as far as its first event")
        if seat.is_succeeded:
            self._seats.remove(seat)
            self._spare.append(seat.slots)
        seat.due = time.monotonic() + seat.pause()

    def _postpone(self, seat: _Seat, reason: str) -> None:
        """A worker could not be started."""
        if not any(each.serves for each in self._seats):
            self._give_up(reason)
        warn(reason, "")
        seat.failed_starts += 1
        seat.due = time.monotonic() + seat.pause()

    # the end

    def _end(self) -> "NoReturn":
        """SIGTERM: have the workers end in good order, as long as there is time."""
        end = time.monotonic() + _WINDOW_SECONDS
        self._signal_all(_signal.SIGTERM)
        while self._are_left(posix.WNOHANG) and (left := end - time.monotonic()) > 0:
            self._poll([], left)
        self._signal_all(_signal.SIGKILL)
        self._are_left(0)
        _exit(0)

    def _give_up(self, reason: str) -> "NoReturn":
        sys.stderr.write(f"lambda-runtime: {reason}\n")
        self._signal_all(_signal.SIGKILL)
        self._are_left(0)
        _exit(1)

    def _signal_all(self, number: int) -> None:
        for seat in self._seats:
            if seat.pid:
                posix.kill(seat.pid, number)

    def _are_left(self, options: int) -> bool:
        """Whether workers are left; with 0 for an option, none are when it returns."""
        for seat in self._seats:
            self._has_ended(seat, options)
        return any(seat.pid for seat in self._seats)


def _describe_exit(code: int) -> str:
    """An exit code in the platform's words."""
    return f"exit status {code}" if code >= 0 else f"signal {-code}"


def _exit_like(code: int) -> "NoReturn":
    """The init has failed: end as its process did."""
    logs.flush()
    if code < 0:
        if -code not in (_signal.SIGKILL, _signal.SIGSTOP):
            _signal.signal(-code, _signal.SIG_DFL)
        posix.kill(posix.getpid(), -code)
    posix._exit(code & 0xFF)


def _exit(status: int) -> "NoReturn":
    """Without ``atexit``: what is registered there is the workers'."""
    logs.flush()
    posix._exit(status)
