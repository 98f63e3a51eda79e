"""Starts processes in every way functions do, on the layer's interpreter. Prints `well`."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor


def square(number: int) -> int:
    return number * number


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def main() -> None:
    code = "import ssl, sys; print(sys.executable, sys.prefix)"
    assert run(sys.executable, "-c", code).split() == [sys.executable, "/opt/cpython"]
    assert run(sys.executable, "-I", "-m", "json.tool", "--help").startswith("usage")
    assert run("/bin/sh", "-c", 'echo "$0 $((6 * 7))"').split()[1] == "42"
    assert run("cat", "/etc/hosts").startswith("127.0.0.1")
    # A program of the host's that needs the host's libraries, not the layer's of the same name.
    assert "OpenSSL" not in run("/usr/bin/sha256sum", "/etc/hosts")
    assert os.system("exit 3") >> 8 == 3
    with os.popen("echo through a pipe") as pipe:
        assert pipe.read() == "through a pipe\n"
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(square, range(5))) == [0, 1, 4, 9, 16]
    print("well")


if __name__ == "__main__":
    main()
