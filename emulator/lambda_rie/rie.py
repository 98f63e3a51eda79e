"""AWS's Runtime Interface Emulator (RIE): fetch its binary, run a function under it, invoke it.

The binary comes from the pinned ``aws-sam-cli`` wheel, so a package index is enough to get it. That
version behaves as follows:

* it starts the runtime at the first invocation, and again after the runtime exited or timed out;
* it gives the runtime its own stdout for both output streams, so its stdout is the function's log,
  with RIE's START, END and REPORT lines in between; RIE's own messages go to its stderr;
* two invocations at once crash it, so ``Rie.invoke`` lets one through at a time;
* with AWS_LAMBDA_MAX_CONCURRENCY in its environment it acts as a managed instance: it runs
  /var/runtime/bootstrap, takes several invocations at once (``Rie.submit``) and refuses further
  ones while the runtime does not poll; its own messages are mixed with the function's output, and
  that output may arrive after the reply.

AWS describes it at https://docs.aws.amazon.com/lambda/latest/dg/images-test.html.
"""

from __future__ import annotations

import hashlib
import os
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import httpx

WHEEL = "aws-sam-cli==1.170.0"
WHEEL_SHA256 = "24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf"
BINARY_SHA256 = {
    "x86_64": "6b1e686e62ab2baf5759c412c4864276ef2a88b094fca53ec070637ccba9b9a5",
    "arm64": "ec2e5d09633d853834c008b1ef264bf834b258a94d551d2b2074966494b39a21",
}
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}

START_SECONDS = 10.0
"""The seconds that RIE may take to listen (it takes about 0.01 s)."""
STOP_SECONDS = 5.0
"""The seconds that RIE may take to end its runtime and itself before it is killed."""
DEFAULT_TIMEOUT = 300
"""The function's timeout in seconds when AWS_LAMBDA_FUNCTION_TIMEOUT is not set, as in RIE."""


class RieError(Exception):
    """RIE could not be fetched, did not start or did not answer; the message says what to do."""


# -- the binary --------------------------------------------------------------------------------


def cache_folder() -> Path:
    """The folder that keeps downloads: LAMBDA_RUNTIME_CACHE, or the user's cache folder."""
    if chosen := os.environ.get("LAMBDA_RUNTIME_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "lambda-runtime"


def machine_architecture() -> str:
    """This machine's architecture in Lambda's terms: ``x86_64`` or ``arm64``.

    Raises RieError on any other machine: Lambda has only these two.
    """
    machine = platform.machine().lower()
    try:
        return _MACHINES[machine]
    except KeyError:
        raise RieError(f"RIE exists for x86_64 and arm64, this machine is {machine}") from None


def fetch(architecture: str | None = None) -> Path:
    """The path of a verified RIE binary for ``architecture`` (default: this machine's).

    Download the wheel once and then use the cache; fetch a cached file again if its checksum is
    wrong. Raises RieError if the wheel cannot be fetched or is not the pinned file.
    """
    architecture = architecture or machine_architecture()
    if architecture not in BINARY_SHA256:
        raise RieError(f"no RIE for {architecture!r}: choose x86_64 or arm64")
    folder = cache_folder()
    binary = folder / f"aws-lambda-rie-{architecture}-{BINARY_SHA256[architecture][:12]}"
    if not _matches(binary, BINARY_SHA256[architecture]):
        _install(architecture, binary)
    return binary


def _matches(file: Path, sha256: str) -> bool:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _install(architecture: str, binary: Path) -> None:
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, because only a rename within a file system is atomic.
        with tempfile.TemporaryDirectory(dir=binary.parent, prefix="fetch-") as scratch:
            fresh = _unpack(_download(Path(scratch)), architecture, Path(scratch))
            if not _matches(fresh, BINARY_SHA256[architecture]):
                raise RieError(f"the RIE binary in {WHEEL} is not the one that was pinned")
            fresh.chmod(0o755)
            fresh.replace(binary)
    except OSError as problem:
        raise RieError(
            f"cannot store RIE in {binary.parent}: {problem}; "
            "set LAMBDA_RUNTIME_CACHE to a folder that can be written"
        ) from problem


def _download(folder: Path) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--only-binary", ":all:", "--dest", str(folder), WHEEL,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    except subprocess.TimeoutExpired:
        raise RieError(
            f"pip took over 10 minutes to download {WHEEL}: is the network up?"
        ) from None
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise RieError(f"pip could not download {WHEEL} (RIE is inside it): {last}")
    if not _matches(wheels[0], WHEEL_SHA256):
        raise RieError(f"{wheels[0].name} is not the file that was pinned: its SHA-256 differs")
    return wheels[0]


def _unpack(wheel: Path, architecture: str, folder: Path) -> Path:
    target = folder / "rie"
    member = f"samcli/local/rapid/aws-lambda-rie-{architecture}"
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(member) as inside,
        target.open("wb") as outside,
    ):
        shutil.copyfileobj(inside, outside)
    return target


# -- one function under it ---------------------------------------------------------------------


@dataclass(frozen=True)
class Launch:
    """The process to start: RIE's arguments with the runtime's command, environment and folder."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


@dataclass(frozen=True)
class Reply:
    """The reply to the caller of one invocation, and the function's output meanwhile."""

    status: int
    content_type: str
    body: bytes
    seconds: float
    """The caller's wall time; that of the first invocation includes the runtime's start."""
    log: bytes
    """The function's output, stdout and stderr in order, without RIE's lines."""
    request_id: str
    """The request id that RIE chose; empty if RIE failed before that."""


_RIE_LINES = re.compile(
    rb"^START RequestId: \S+\s+Version: [^\n]*\n|END RequestId: \S+\n"
    rb"|^REPORT RequestId: [^\n]*\n|^time=\S+ level=[A-Z]+ msg=[^\n]*\n",
    re.MULTILINE,
)
_OWN_PORTS = range(20_000, 32_000)
_STARTED = re.compile(rb"^START RequestId: (\S+)\s+Version: ", re.MULTILINE)
_TAIL = 64 * 1024


@dataclass
class Rie:
    """A running RIE with one function in it; a context manager that leaves no process behind.

    ``command`` starts the runtime; its last item is the handler. ``folder`` is the function's
    folder and the working directory. ``environment`` is the whole environment. ``enclose`` may wrap
    the launch, to run it in a chroot or a container.
    """

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    enclose: Callable[[Launch], Launch] = lambda launch: launch
    binary: Path = field(default_factory=fetch)

    def __post_init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._resources = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client | None = None
        self._log: BinaryIO | None = None
        self._diagnostics: BinaryIO | None = None
        self._read = 0
        self._api = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def runtime_api(self) -> str:
        """The ``host:port`` of the Runtime API, in ``AWS_LAMBDA_RUNTIME_API`` of its processes."""
        return self._api

    @property
    def timeout(self) -> float:
        """The seconds that the function may take before RIE kills it."""
        return float(self.environment.get("AWS_LAMBDA_FUNCTION_TIMEOUT") or DEFAULT_TIMEOUT)

    def start(self) -> None:
        """Start RIE and wait until it listens. Raises RieError if it does not."""
        attempts = 3
        while True:
            attempts -= 1
            try:
                return self._start()
            except BaseException as problem:
                self.stop()
                if not isinstance(problem, _PortTaken) or not attempts:
                    raise

    def _start(self) -> None:
        invoke, api = _free_addresses(2)
        self._api = api
        argv = (
            str(self.binary),
            "--runtime-interface-emulator-address", invoke,
            "--runtime-api-address", api,
            *self.command,
        )  # fmt: skip
        launch = self.enclose(Launch(argv, self.environment, self.folder))
        self._log = self._resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._diagnostics = self._resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._read = 0
        self._process = subprocess.Popen(
            launch.argv,
            cwd=launch.folder,
            env=dict(launch.environment),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._diagnostics,
            start_new_session=True,
        )
        self._await_listening(invoke)
        # No TLS here: loading the certificates would take longer than RIE's start.
        client = httpx.Client(base_url=f"http://{invoke}", trust_env=False, verify=False)
        self._client = self._resources.enter_context(client)

    def _await_listening(self, address: str) -> None:
        host, port = address.split(":")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                said = self.diagnostics()
                kind = _PortTaken if "address already in use" in said else RieError
                raise kind(f"RIE ended before it listened: {said.strip()[-2000:]}")
            with suppress(OSError), socket.create_connection((host, int(port)), 1):
                return
            time.sleep(0.003)
        raise RieError(f"RIE did not listen within {START_SECONDS:.0f} s: {self.diagnostics()}")

    def invoke(self, payload: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """Invoke the function with ``payload``, wait for its reply and for the end of its log.

        Calls from several threads run one after another. Raises RieError if RIE has ended, or does
        not reply within the function's timeout and some seconds.
        """
        with self._one_at_a_time:
            began = time.monotonic()
            answer = self.submit(payload, headers)
            seconds = time.monotonic() - began
            log = self._collect(complete=answer.status_code == 200)
        kind = answer.headers.get("content-type", "")
        clean = _RIE_LINES.sub(b"", log)
        return Reply(answer.status_code, kind, answer.content, seconds, clean, _request_id(log))

    def submit(self, payload: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """Invoke the function beside other invocations, and wait for the reply only.

        For managed instances. Raises as ``invoke`` does.
        """
        if self._client is None:
            raise RieError("RIE is not running")
        try:
            return self._client.post(
                "/2015-03-31/functions/function/invocations",
                content=payload,
                headers=headers,
                timeout=self.timeout + START_SECONDS,
            )
        except httpx.HTTPError as problem:
            raise RieError(
                f"no reply from RIE ({problem!r}); it said: {self.diagnostics()[-2000:]}"
            ) from problem

    def terminate(self) -> bytes:
        """Let RIE end the function and itself; return the function's output meanwhile."""
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise RieError(f"RIE did not end within {STOP_SECONDS:.0f} s") from None
        return self.output()

    def output(self) -> bytes:
        """The function's output since the last reply, as far as it has arrived."""
        return _RIE_LINES.sub(b"", self._collect(complete=False))

    def _collect(self, complete: bool) -> bytes:
        """The log since the last call; if ``complete``, wait for the REPORT line at its end."""
        assert self._log is not None
        number = self._log.fileno()
        deadline = time.monotonic() + 2
        while complete and time.monotonic() < deadline:
            size = os.fstat(number).st_size
            from_ = max(self._read, size - _TAIL)
            if b"\nREPORT RequestId: " in os.pread(number, size - from_, from_):
                break
            time.sleep(0.001)
        size = os.fstat(number).st_size
        text = os.pread(number, size - self._read, self._read)
        self._read = size
        return text

    def diagnostics(self) -> str:
        """The messages that RIE itself has written so far."""
        if self._diagnostics is None:
            return ""
        number = self._diagnostics.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode(errors="replace")

    def stop(self) -> None:
        """End RIE and all processes under it. Safe to call twice."""
        self._client = None
        process, self._process = self._process, None
        if process is not None:
            try:
                _end(process)
            finally:
                _kill_all_with(f"AWS_LAMBDA_RUNTIME_API={self._api}")
        self._log = self._diagnostics = None
        self._resources.close()


class _PortTaken(RieError):
    """Another process took the free port before RIE could bind it."""


def _request_id(log: bytes) -> str:
    started = _STARTED.search(log)
    return started[1].decode() if started else ""


def _free_addresses(count: int) -> list[str]:
    """Free addresses that no other process is likely to take before RIE binds them.

    Their ports lie below the range that the system itself assigns to connections, and to servers
    that ask for any port.
    """
    with ExitStack() as held:
        found: list[str] = []
        for port in random.sample(_OWN_PORTS, 100):
            each = held.enter_context(socket.socket())
            with suppress(OSError):
                each.bind(("127.0.0.1", port))
                found.append(f"127.0.0.1:{port}")
            if len(found) == count:
                return found
    raise RieError(f"no free port between {_OWN_PORTS.start} and {_OWN_PORTS.stop}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        # RIE leads its process group, so the others in the group end with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(STOP_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def _kill_all_with(setting: str) -> None:
    """Kill the processes that have ``setting`` in their environment, until none is left."""
    deadline = time.monotonic() + STOP_SECONDS
    while (left := _processes_with(setting)) and time.monotonic() < deadline:
        for number in left:
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.005)


def _processes_with(setting: str) -> list[int]:
    """The processes that were started with ``setting`` in their environment.

    RIE gives each runtime a separate process group, and a function can start processes that leave
    that group too. Only these processes have the address of this RIE's Runtime API.
    """
    wanted = setting.encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
