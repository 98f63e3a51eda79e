"""Runs in the function's process: waits for a debugger, then runs the script in its arguments.

The debug adapter runs in the same process, so that both end together.
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
        # The runtime suspends tracing outside the handler; the debugger would warn about that.
        from pydevd_tracing import TracingFunctionHolder

        TracingFunctionHolder._warn = False
    debugpy.wait_for_client()
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
