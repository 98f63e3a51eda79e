"""Measures a cold start inside a layer's root or an image, with the interpreter in it.

``cold_start.py INTERPRETER BOOTSTRAP STUB`` prints two results as JSON:

* ``ratio``: the time from the exec of BOOTSTRAP to its request for the first event, divided by the
  time of a whole run of ``INTERPRETER -I -S -c pass``. The two take turns; it is the median of the
  rounds' ratios of medians.
* ``calls``: the system calls from that exec to that request, less those of that whole run, as STUB
  counts them (native/stub.c); the median of three counts.
"""

import json
import os
import py_compile
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 9
TURNS = 40
COUNTS = 3


def main(interpreter: str, bootstrap: str, stub: str) -> None:
    """Print the results."""
    bare = [interpreter, "-I", "-S", "-c", "pass"]
    with tempfile.TemporaryDirectory() as task, socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        environment = {
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.getsockname()[1]}",
            "LAMBDA_TASK_ROOT": _function(task),
            "_HANDLER": "app.handler",
        }
        ratios = [_ratio(bare, bootstrap, server, environment) for _ in range(ROUNDS)]
        calls = [_calls(bare, bootstrap, stub, environment) for _ in range(COUNTS)]
    print(json.dumps({"ratio": statistics.median(ratios), "calls": statistics.median(calls)}))


def _function(folder: str) -> str:
    # Compile it, as docs/container.md says: compiling even this takes a tenth of the cold start.
    with open(f"{folder}/app.py", "w") as file:
        file.write("def handler(event, context):\n    return event\n")
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(file.name, invalidation_mode=mode, doraise=True)
    return folder


def _ratio(
    command: list[str], bootstrap: str, server: socket.socket, environment: dict[str, str]
) -> float:
    bare, ours = [], []
    for _ in range(TURNS):
        began = time.perf_counter()
        subprocess.run(command, check=True)
        bare.append(time.perf_counter() - began)
        began = time.perf_counter()
        process = subprocess.Popen([bootstrap], env=environment)
        try:
            connection, _ = server.accept()
            with connection:
                assert b"/invocation/next " in connection.recv(4096)
                ours.append(time.perf_counter() - began)
                process.kill()  # before it can log that the connection is lost
        finally:
            process.kill()
            process.wait()
    return statistics.median(ours) / statistics.median(bare)


def _calls(command: list[str], bootstrap: str, stub: str, environment: dict[str, str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/event", "w") as file:
            file.write("{}")
        serve = ["count", file.name, f"{folder}/answer", "1", "0", "20", bootstrap]
        ours, bare = (
            subprocess.run([stub, *arguments], env=environment, check=True, stdout=subprocess.PIPE)
            for arguments in (serve, ["count-exit", "20", *command])
        )
    return int(json.loads(ours.stdout)["calls"] - json.loads(bare.stdout)["calls"])


if __name__ == "__main__":
    main(*sys.argv[1:])
