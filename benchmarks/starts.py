"""Times starts of an interpreter on demand, inside the root or image that has it.

``starts.py INTERPRETER`` runs ``INTERPRETER -I -S -c pass`` for each line on standard input, and
answers with a line: the seconds from its exec to its end. So two interpreters in different roots
can take turns.
"""

import os
import sys
import time


def main(interpreter: str) -> None:
    """Answer each line."""
    command = [interpreter, "-I", "-S", "-c", "pass"]
    for _ in sys.stdin:
        began = time.perf_counter()
        os.waitpid(os.posix_spawn(interpreter, command, {}), 0)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
