"""Restores the signals that tests send, however the tests were started."""

import signal

# `nohup make test &` ignores the first two in a shell without job control, and a container's init
# or a supervisor may ignore any of them. Child processes inherit ignored signals.
_SENT = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM)


def heed() -> None:
    """Stop ignoring and blocking the signals that tests send to their child processes."""
    for number in _SENT:
        if signal.getsignal(number) == signal.SIG_IGN:
            default = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if default else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SENT)
