"""Prints a thousand lines of ordinary length."""

LINES = 1000


def handler(event: object, context: object) -> object:
    for number in range(LINES):
        print(f"item {number} of {LINES} was read from the queue and written to the table")
    return event
