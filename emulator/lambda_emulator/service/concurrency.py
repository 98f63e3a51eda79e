"""How many calls may be answered at the same time: by the account, and by a function.

Source: AWS, 'Understanding Lambda function scaling' and 'Configuring reserved concurrency'.
"""

from __future__ import annotations

from collections import Counter

from lambda_emulator.invocation import Throttled

# What must stay for the functions without a reservation.
LEAST_UNRESERVED = 100


class Concurrency:
    """The calls under way by function, and the limits; ``account`` is the account's."""

    def __init__(self, account: int) -> None:
        self.account = account
        self.reserved: dict[str, int] = {}
        self.running: Counter[str] = Counter()

    @property
    def unreserved(self) -> int:
        """How many calls functions without a reservation may answer together."""
        return self.account - sum(self.reserved.values())

    @property
    def running_unreserved(self) -> int:
        """How many calls functions without a reservation are answering."""
        return sum(n for name, n in self.running.items() if name not in self.reserved)

    def enter(self, name: str) -> None:
        """Begin a call. Raises Throttled if a limit is reached."""
        limit = self.reserved.get(name)
        if limit is not None:
            if self.running[name] >= limit:
                text = f"{name} has reserved {limit} concurrent executions, and all are in use"
                raise Throttled(text)
        elif self.running_unreserved >= self.unreserved:
            text = f"the account's {self.unreserved} unreserved concurrent executions are in use"
            raise Throttled(text, "ConcurrentInvocationLimitExceeded")
        self.running[name] += 1

    def leave(self, name: str) -> None:
        """End a call."""
        self.running[name] -= 1
        if not self.running[name]:
            del self.running[name]
