"""Functions for what invokes them: the answers of a test, given in the place of environments."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lambda_emulator.ground.clock import Clock
from lambda_emulator.ground.invoking import Outcome

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:name"
ROLE = "arn:aws:iam::123456789012:role/reader"


@dataclass
class Call:
    """One invocation: when it came, and what came."""

    moment: float
    function: str
    qualifier: str | None
    event: Any
    more: dict[str, Any] = field(default_factory=dict)


class Functions:
    """A ``FunctionInvoker``: ``answer(event)`` gives an Outcome, a JSON answer, or raises.

    What it raises is a function error. It may be a coroutine function.
    """

    def __init__(self, answer: Callable[[Any], Any], clock: Clock) -> None:
        self.calls: list[Call] = []
        self.running = 0
        self.most = 0
        self._answer = answer
        self._clock = clock

    async def invoke(
        self, function: str, qualifier: str | None, payload: bytes, **more: Any
    ) -> Outcome:
        """Note the call and answer."""
        event = json.loads(payload)
        self.calls.append(Call(self._clock.now(), function, qualifier, event, more))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            answer = self._answer(event)
            if inspect.isawaitable(answer):
                answer = await answer
        except asyncio.CancelledError:
            raise
        except Exception as error:
            return failure(str(error), type(error).__name__)
        finally:
            self.running -= 1
        return answer if isinstance(answer, Outcome) else Outcome(json.dumps(answer).encode())

    def gaps(self) -> list[float]:
        """Lambda's seconds from call to call."""
        moments = [call.moment for call in self.calls]
        pairs = itertools.pairwise(moments)
        return [(later - earlier) * self._clock.scale for earlier, later in pairs]


def failure(message: str, error_type: str = "RuntimeError") -> Outcome:
    """The outcome of a function that has failed."""
    document = {"errorMessage": message, "errorType": error_type}
    return Outcome(json.dumps(document).encode(), 200, "Unhandled", error_type)


async def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
