"""Records of every kind that a function may log."""

import datetime
import io
import logging
import threading
import warnings
from collections.abc import Callable
from typing import Any

logger = logging.getLogger()
child = logging.getLogger("shop.orders")
_initial_level = logger.level

# Before the first invocation there is no request id.
logger.warning("logged at import")


def _levels() -> None:
    logger.debug("debug")
    logger.info("info")
    logger.warning("warning")
    logger.error("error")
    logger.critical("critical")


def _set_level() -> None:
    logger.setLevel(logging.INFO)
    logger.info("shown")
    logger.debug("hidden")


def _set_level_child() -> None:
    child.setLevel(logging.DEBUG)
    child.debug("shown")
    child.setLevel(logging.NOTSET)


def _own_level() -> None:
    logger.log(35, "between warning and error")
    logger.log(60, "above critical")
    logging.addLevelName(42, "ANSWER")
    logger.log(42, "a named level")


def _arguments() -> None:
    logger.warning("%s has %d of %.1f", "cart", 3, 2.5)
    logger.warning("%(name)s", {"name": "by name"})
    logger.warning("100%")


def _arguments_wrong() -> None:
    logger.warning("%d", "not a number")
    logger.warning("after it")


def _extra() -> None:
    logger.warning("with extra", extra={"order": 42, "tags": ["a", "b"], "at": None})


def _extra_odd() -> None:
    moment = datetime.datetime(2026, 3, 14)
    logger.warning("odd", extra={"when": moment, "set": {1}, "raw": b"x", "logger": "mine"})


def _dict() -> None:
    logger.warning({"event": "paid", "amount": 12, "when": datetime.date(2026, 3, 14)})


def _not_a_string() -> None:
    logger.warning(42)
    logger.warning(["a", None])
    logger.warning(None)
    logger.warning(ValueError("as the message"))


def _lines() -> None:
    logger.warning("first\nsecond\n\tthird\r\nfourth\n")


def _non_ascii() -> None:
    logger.warning("grüße 世界 🚀 \u2028")


def _surrogate() -> None:
    logger.warning("lone \udc80 surrogate")


def _exception() -> None:
    try:
        raise LookupError("caught")
    except LookupError:
        logger.exception("failed for %s", "ada")
        child.error("again", exc_info=True)


def _exception_chained() -> None:
    try:
        try:
            raise LookupError("first")
        except LookupError as error:
            raise ValueError("second") from error
    except ValueError as error:
        logger.error("chained", exc_info=error)


def _exception_none() -> None:
    logger.error("nothing was raised", exc_info=True)


def _stack() -> None:
    logger.warning("with the stack", stack_info=True)


def _child() -> None:
    child.warning("from a child")
    logging.getLogger("shop").error("from its parent")


def _basic_config() -> None:
    logging.basicConfig(level=logging.DEBUG, format="%(message)s")
    logger.debug("must not show")
    logger.warning("in the runtime's format")


def _basic_config_forced() -> None:
    stream = io.StringIO()
    logging.basicConfig(force=True, format="mine %(levelname)s %(message)s", stream=stream)
    logger.warning("to my stream")
    print(repr(stream.getvalue()))


def _own_formatter() -> None:
    logger.handlers[0].setFormatter(logging.Formatter("%(levelname)s|%(message)s"))
    logger.warning("one")
    logger.warning("two")


def _own_filter() -> None:
    logger.handlers[0].addFilter(_mark)
    logger.warning("filtered")


def _mark(record: logging.LogRecord) -> bool:
    record.msg = f"marked: {record.msg}"
    return True


def _own_handler() -> None:
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.warning("twice")


def _thread() -> None:
    thread = threading.Thread(target=logger.warning, args=("from a thread",))
    thread.start()
    thread.join()


def _between_prints() -> None:
    print("before")
    logger.warning("between")
    print("after")


def _warnings() -> None:
    logging.captureWarnings(True)
    warnings.warn_explicit("captured", UserWarning, "shop.py", 7)
    logging.captureWarnings(False)


def _handlers() -> None:
    for handler in logger.handlers:
        print(
            type(handler).__name__, handler.level, isinstance(handler.formatter, logging.Formatter)
        )
    print(logging.getLevelName(logger.level), logging.raiseExceptions, logging.lastResort is None)


def _attributes() -> None:
    record = logging.LogRecord("n", logging.INFO, "p.py", 1, "m", (), None)
    for each in logger.handlers[0].filters:
        getattr(each, "filter")(record)  # noqa: B009
    print(bool(getattr(record, "aws_request_id", None)), getattr(record, "tenant_id", "absent"))


def _dict_config() -> None:
    import logging.config

    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"short": {"format": "short %(message)s"}},
            "handlers": {
                "out": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": "short",
                }
            },
            "root": {"level": "INFO", "handlers": ["out"]},
        }
    )
    logger.info("configured by dict")


RECORDS: dict[str, Callable[[], None]] = {
    function.__name__[1:].replace("_", "-"): function
    for function in (
        _levels, _set_level, _set_level_child, _own_level, _arguments, _arguments_wrong, _extra,
        _extra_odd, _dict, _not_a_string, _lines, _non_ascii, _surrogate, _exception,
        _exception_chained, _exception_none, _stack, _child, _basic_config, _basic_config_forced,
        _own_formatter, _own_filter, _own_handler, _thread, _between_prints, _warnings, _handlers,
        _attributes, _dict_config,
    )
}  # fmt: skip


def handler(event: Any, context: Any) -> None:
    """Log, and leave logging as it was, so that no record depends on those before it."""
    level, handlers = logger.level, list(logger.handlers)
    kept = [(each, each.formatter, list(each.filters)) for each in handlers]
    try:
        if event == "raise":
            raise ValueError("an unhandled error")
        RECORDS[event]()
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers
        for each, formatter, filters in kept:
            each.setFormatter(formatter)
            each.filters[:] = filters
