"""Starts the workers, starts others for those that die, and answers what they leave behind.

Theory of operation
-------------------
The first worker is started alone. When its init is over it reports which way it goes, and waits for
a word; the supervisor registers the extension that SIGTERM needs, if the worker has something to do
then, gives the word, and starts the other workers, if the way has any. The word comes before the
first ``next``, which ends the init for the platform.

If the first worker dies in its init, that is the environment's end, and for the same reason. Any
other that dies is replaced, after a pause if it had no event since its start; when that happens to
one after the other and nobody else is left to serve, the environment ends too.

A worker that cannot answer what it has in hand says so on the board, and sends SIGCHLD; one that is
stuck (``watchdog``) is killed. One that its supervisor has left behind the kernel kills
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
from lambda_runtime.concurrency import watchdog, ways
from lambda_runtime.concurrency.board import BUSY, HELPLESS, OVER, Board, Slot
from lambda_runtime.concurrency.client import SupervisorClient
from lambda_runtime.concurrency.inheritance import Estate, Heir
from lambda_runtime.concurrency.lifeline import Lifeline
from lambda_runtime.concurrency.output import Turn
from lambda_runtime.concurrency.shared import warn
from lambda_runtime.concurrency.watchdog import Clock, Watch
from lambda_runtime.concurrency.worker import Report, Worker
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


class _Place:
    """One worker, the ones that came before it and those that will come after it."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.pid = 0
        self.channel: _socket.socket | None = None
        self.lifeline: Lifeline | None = None
        self.heir: Heir | None = None
        """What it has given of its connections."""
        self.watch: Watch | None = None
        """What is known of it since it serves."""
        self.verdict = ""
        """Why it has been killed."""
        self.is_succeeded = False
        """Whether another place has taken over: this one is gone with its worker."""
        self.barren = 0
        """How many of its workers have ended in a row without an event."""
        self.due = 0.0
        """When its next worker is to be started, by the monotonic clock."""
        self._events_before = 0

    @property
    def serves(self) -> bool:
        """Whether its worker is initialised."""
        return self.watch is not None

    def occupy(self, pid: int, channel: _socket.socket, lifeline: Lifeline) -> None:
        """A worker has been started."""
        lifeline.hold()
        self.pid, self.channel, self.lifeline, self.verdict = pid, channel, lifeline, ""
        self._events_before = self._events()

    def vacate(self) -> None:
        """The worker has ended."""
        self.pid, self.watch = 0, None
        self.barren = self.barren_now()

    def barren_now(self) -> int:
        """How many there are with the present one."""
        return self.barren + 1 if self._events() == self._events_before else 0

    def inherit(self, channel: _socket.socket) -> None:
        """From here on the worker gives its connections through the channel."""
        self.channel, self.heir = None, Heir(channel)

    def let_go(self) -> None:
        """Hold nothing more that leads to the worker."""
        self.end_report()
        if self.heir is not None:
            self.heir.close()
            self.heir = None
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
        return min(_FIRST_PAUSE * 2**self.barren / 2, _LONGEST_PAUSE) if self.barren else 0.0

    def _events(self) -> int:
        return sum(slot.events for slot in self.slots)


class Supervisor:
    """Of so many polls. Raises FaultException for settings that cannot be followed."""

    def __init__(self, address: str, polls: int, turn: Turn) -> None:
        self._address = address
        self._client = SupervisorClient(address)
        # Where all polls are in one process, its successor begins while it ends.
        self._board = Board(2 * polls)
        self._places = [_Place(self._board.slots[:polls])]
        self._spare = [self._board.slots[polls:]]
        self._way = ""
        self._terminated = False
        self._previous = {number: _signal.getsignal(number) for number in _SIGNALS}
        self._wakeup, self._woken = _socket.socketpair()
        self._wakeup.setblocking(False)
        self._woken.setblocking(False)
        self._estates: list[Estate] = []
        self._turn = turn
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
            for place in self._places:
                if not place.pid and place.due <= time.monotonic():
                    worker = self._start(place)
                    if worker is not None:
                        return worker
            self._wait()
            for place in list(self._places):
                if place.channel is not None:
                    self._read_report(place, place.channel)
                if self._has_ended(place, posix.WNOHANG):
                    self._plan_next(place)
                self._help(place)
            self._read_estates()
            self._look()
            if self._terminated:
                self._end()

    def _on_signal(self, number: int, frame: object) -> None:
        if number != _signal.SIGCHLD:
            self._terminated = True

    def _wait(self) -> None:
        """Until a signal, a report, the end of a pause, or the time of the next look."""
        channels = [place.channel for place in self._places if place.channel is not None]
        channels += [estate.connection for estate in self._estates]
        times = [self._next_look, *(place.due for place in self._places if not place.pid)]
        times += [estate.ends for estate in self._estates]
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

    def _start(self, place: _Place) -> Worker | None:
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
                return Worker(self._address, place.slots, theirs, self._turn)
            theirs.close()
            ours.setblocking(False)
            place.occupy(pid, ours, lifeline)
        except OSError as error:
            if lifeline is not None:
                lifeline.discard()
            self._postpone(place, f"cannot start a worker: {error.strerror}")
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
        for place in self._places:
            place.let_go()
        for estate in self._estates:
            estate.connection.close()

    def _read_report(self, place: _Place, channel: _socket.socket) -> None:
        """Take the worker's word that it is initialised, and give it ours."""
        try:
            said = channel.recv(1024)
        except BlockingIOError:
            return
        if said:
            report = Report.read(said)
            if not self._way and report.wants_extension:
                shutdown.register()
            if not self._way:
                self._follow(report)
            place.watch = Watch(place.slots, beats=self._way in ways.SHARED)
            try:
                channel.send(b"\n")
            except OSError:
                pass  # it has died meanwhile
            if self._way in ways.SHARED:
                return place.inherit(channel)
        place.end_report()

    def _follow(self, report: Report) -> None:
        """Go the way of the first worker, with as many others as it takes."""
        self._way = report.way
        if report.way in ways.SHARED:
            return
        for module in (*_LOADED_LATER, *report.modules):
            # Loaded here they are loaded once, and shared by those that are forked from now on.
            try:
                __import__(module)
            except Exception:
                pass  # the workers will do it themselves, and know what to make of it
        first = self._places[0]
        first.slots, others = first.slots[:1], first.slots[1:]
        self._places += [_Place([slot]) for slot in others]

    def _has_ended(self, place: _Place, options: int) -> bool:
        """See whether the worker has ended, and if so answer for it."""
        if not place.pid:
            return False
        pid, status = posix.waitpid(place.pid, options)
        if not pid:
            return False
        code = posix.waitstatus_to_exitcode(status)
        place.vacate()
        if not self._way:
            _end_like(code)
        reason = place.verdict or _words(code)
        self._take_estates(place, reason)
        place.let_go()
        for slot in place.slots:
            self._answer_for(slot, reason)
        self._read_estates()
        if not self._terminated:
            warn(f"A worker has ended ({reason})", "")
        return True

    def _answer_for(self, slot: Slot, reason: str) -> None:
        """Answer what a worker had in hand. If it has done so itself, this one is refused."""
        in_hand = slot.in_hand
        slot.reset()
        for (request_id, invocation_id), _ in in_hand:
            self._answer(request_id, invocation_id, reason)

    def _answer(self, request_id: str, invocation_id: str, reason: str) -> None:
        text = f"RequestId: {request_id} Error: Runtime exited with error: {reason}"
        kind = "Runtime.ExitError"
        report = payload.encode({"errorMessage": text, "errorType": kind})
        try:
            self._client.post_invocation_error(request_id, report, "", invocation_id, kind)
        except RuntimeApiError as error:
            warn(f"The invocation remains without an answer: {error}", request_id)

    def _take_estates(self, place: _Place, reason: str) -> None:
        """Take over the connections on which events may be that the worker has not looked at."""
        if place.heir is None:
            return
        for number, connection in list(place.heir.receive().items()):
            slot = place.slots[number]
            if not slot.is_arriving:
                known = [request_id for (request_id, _), _ in slot.in_hand]
                self._estates.append(Estate(connection, reason, known))
                place.heir.leave(number)

    def _read_estates(self) -> None:
        """Answer the events that dead workers have not looked at."""
        for estate in self._estates:
            for ids in estate.read():
                self._answer(*ids, estate.reason)
        now = time.monotonic()
        for estate in [each for each in self._estates if each.ends <= now]:
            self._estates.remove(estate)
            estate.connection.close()

    def _help(self, place: _Place) -> None:
        """See to the polls that are over, in a worker that lives on for the others."""
        for slot in place.slots:
            if slot.at == HELPLESS:
                self._answer_for(slot, _HELPLESS)
            elif slot.at == OVER:
                slot.at = BUSY
            else:
                continue
            self._succeed(place)

    def _succeed(self, place: _Place) -> None:
        """Have another worker take over from one whose polls are over, or come to be."""
        if self._way not in ways.SHARED or place.is_succeeded or not self._spare:
            return
        place.is_succeeded = True
        successor = _Place(self._spare.pop())
        successor.barren = place.barren_now()
        successor.due = time.monotonic() + successor.pause()
        self._places.append(successor)
        if place.heir is not None:
            place.heir.retire()

    def _look(self) -> None:
        """From time to time, see whether a worker is stuck."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + self._beat
        now = self._clock.read()
        for place in self._places:
            if place.heir is not None:
                place.heir.receive()  # so that there is room
            if not self._patience or place.watch is None or place.verdict:
                continue
            if place.watch.stuck_seconds(now, self._beat) >= self._patience:
                self._kill(place, place.watch)
            elif place.watch.is_half_lost(now, self._patience):
                self._succeed(place)

    def _kill(self, place: _Place, watch: Watch) -> None:
        if watchdog.is_held(place.pid):
            watch.spare()
        else:
            place.verdict = _STUCK.format(self._patience)
            posix.kill(place.pid, _signal.SIGKILL)

    def _plan_next(self, place: _Place) -> None:
        barren = sum(each.barren for each in self._places)
        if barren >= max(2, len(self._places)) and not any(each.serves for each in self._places):
            self._give_up("no worker gets as far as its first event")
        if place.is_succeeded:
            self._places.remove(place)
            self._spare.append(place.slots)
        place.due = time.monotonic() + place.pause()

    def _postpone(self, place: _Place, reason: str) -> None:
        """A worker could not be started."""
        if not any(each.serves for each in self._places):
            self._give_up(reason)
        warn(reason, "")
        place.barren += 1
        place.due = time.monotonic() + place.pause()

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
        for place in self._places:
            if place.pid:
                posix.kill(place.pid, number)

    def _are_left(self, options: int) -> bool:
        """Whether workers are left; with 0 for an option, none are when it returns."""
        for place in self._places:
            self._has_ended(place, options)
        return any(place.pid for place in self._places)


def _words(code: int) -> str:
    """An exit code in the platform's words."""
    return f"exit status {code}" if code >= 0 else f"signal {-code}"


def _end_like(code: int) -> "NoReturn":
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
