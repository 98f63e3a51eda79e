"""Logs a thousand records of ordinary length, at a level that is on by default."""

import logging

LINES = 1000

logger = logging.getLogger(__name__)


def handler(event: object, context: object) -> object:
    for number in range(LINES):
        logger.warning(
            "item %d of %d was read from the queue and written to the table", number, LINES
        )
    return event
