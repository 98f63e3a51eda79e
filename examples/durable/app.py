"""An order that waits for somebody's word and for a while, and pays for neither.

The function starts anew after each pause. What a step returned before is taken from the
execution's checkpoints, so each step runs once.
"""

from typing import Any

from aws_durable_execution_sdk_python import DurableContext, durable_execution, durable_step
from aws_durable_execution_sdk_python.config import Duration


@durable_step
def reserve(step: Any, item: str) -> str:
    print("reserving", item)
    return f"reservation of {item}"


@durable_step
def ship(step: Any, reservation: str) -> str:
    print("shipping the", reservation)
    return f"shipped: {reservation}"


def ask(callback_id: str, context: Any) -> None:
    # A mail with a link, a message to a queue: whoever has the id can answer.
    print("waiting for the answer to", callback_id)


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> dict[str, Any]:
    reservation = context.step(reserve(event["item"]))
    if event["price"] > 100:
        context.wait_for_callback(ask, name="approval")
    context.wait(Duration.from_seconds(2), name="time to change one's mind")
    return {"order": event["id"], "state": context.step(ship(reservation))}
