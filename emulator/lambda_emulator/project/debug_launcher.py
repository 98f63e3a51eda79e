"""Runs in the function's process: wait for a debugger, then run the script that is the argument.

The debug adapter runs in this process, so that it ends with it.
"""

import contextlib
import runpy
import sys


def main() -> None:
    """``debug_launcher.py PORT SCRIPT ARGUMENTS …``"""
    import debugpy

    port, sys.argv[:] = int(sys.argv[1]), sys.argv[2:]
    debugpy.listen(("127.0.0.1", port), in_process_debug_adapter=True)
    with contextlib.suppress(ImportError, AttributeError):
        # The runtime suspends tracing outside of the handler, which the debugger warns about.
        from pydevd_tracing import TracingFunctionHolder

        TracingFunctionHolder._warn = False
    debugpy.wait_for_client()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
