"""Log records, frames and streams, as processes see them."""

import json
import os
import re
import struct
import textwrap

import pytest

from support import transports
from support.process import run_function

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"


def handler(body: str) -> str:
    lines = "\n".join(f"    {line}" for line in textwrap.dedent(body).strip().splitlines())
    return f"import logging, os, sys\ndef handler(event, context):\n{lines}\n"


def test_a_text_record() -> None:
    out = run_function(handler("logging.warning('a %s', 1); logging.info('hidden')")).stdout
    assert re.fullmatch(rf"\[WARNING\]\t{STAMP}\.\d{{3}}Z\tid-1\ta 1\n", out)


def test_the_level_can_be_set_in_code_and_basic_config_is_a_no_op() -> None:
    out = run_function(
        handler(
            "logging.basicConfig(level=0); logging.getLogger().setLevel('INFO'); logging.info('i')"
        )
    ).stdout
    assert re.fullmatch(rf"\[INFO\]\t{STAMP}\.\d{{3}}Z\tid-1\ti\n", out)


def test_records_at_init_have_no_request_id() -> None:
    out = run_function("import logging; logging.error('init')\ndef handler(e, c): pass").stdout
    assert re.fullmatch(rf"\[ERROR\]\t{STAMP}\.\d{{3}}Z\t\tinit\n", out)


def test_logging_that_was_imported_by_a_customisation_is_equipped_too(tmp_path: object) -> None:
    folder = os.fspath(str(tmp_path))
    with open(f"{folder}/sitecustomize.py", "w") as file:
        file.write("import logging; logging.warning('early')")
    out = run_function("def handler(e, c): pass", environment={"PYTHONPATH": folder}).stdout
    assert re.fullmatch(rf"\[WARNING\]\t{STAMP}\.\d{{3}}Z\t\tearly\n", out)


JSON = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "TRACE"}


def test_json_records() -> None:
    outcome = run_function(
        handler(
            """
            log = logging.getLogger("mine")
            log.debug("a %s", 1, extra={"k": {"x": 1}, "odd": object})
            log.info({"event": "dict"})
            try: 1 / 0
            except ZeroDivisionError: log.exception("caught é")
            """
        ),
        environment=JSON,
    )
    debug, info, error = map(json.loads, outcome.stdout.splitlines())
    assert re.fullmatch(f"{STAMP}Z", debug.pop("timestamp"))
    assert debug == {
        "level": "DEBUG",
        "message": "a 1",
        "logger": "mine",
        "requestId": "id-1",
        "k": {"x": 1},
        "odd": "<class 'object'>",
    }
    assert info["message"] == {"event": "dict"}
    assert (error["errorType"], error["errorMessage"]) == ("ZeroDivisionError", "division by zero")
    assert error["message"] == "caught é"
    assert len(error["stackTrace"]) == 1
    assert re.search(r"app\.py:handler:\d+$", error["location"])


@pytest.mark.parametrize(("level", "shown"), [("ERROR", 1), ("warn", 2), ("FATAL", 0), ("no", 2)])
def test_levels(level: str, shown: int) -> None:
    outcome = run_function(
        handler("logging.error('e'); logging.warning('w'); logging.info('i')"),
        environment={"AWS_LAMBDA_LOG_LEVEL": level},
    )
    assert outcome.stdout.count("\n") == shown


def frames(data: bytes) -> list[tuple[int, str]]:
    found = []
    while data:
        kind, length, stamp = struct.unpack_from(">IIQ", data)
        assert stamp > 10**15
        found.append((kind, data[16 : 16 + length].decode()))
        data = data[16 + length :]
    return found


@pytest.mark.parametrize(("form", "text_bit"), [("Text", 1), ("JSON", 0)])
def test_frames(form: str, text_bit: int) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        outcome = run_function(
            handler(
                """
                assert "_LAMBDA_TELEMETRY_LOG_FD" not in os.environ
                logging.critical("c"); logging.error("two\\nlines"); context.log("plain")
                print("printed")
                raise ValueError("end")
                """
            ),
            environment={
                "_LAMBDA_TELEMETRY_LOG_FD": str(writer),
                "AWS_LAMBDA_LOG_FORMAT": form,
                "AWS_LAMBDA_LOG_LEVEL": "INFO",
            },
            pass_fds=[writer],
        )
        os.close(writer)
        received = frames(os.read(reader, 1 << 20))
    finally:
        os.close(reader)
    kinds = [kind for kind, _ in received]
    assert kinds == [
        0xA55A0002 | 6 << 2 | text_bit,
        0xA55A0002 | 5 << 2 | text_bit,
        0xA55A0003,
        0xA55A0002 | 5 << 2 | text_bit,
    ]
    assert received[2][1] == "plain"
    assert "ValueError" in received[3][1]
    assert outcome.stdout == "printed\n"


@pytest.mark.parametrize(
    "damage",
    [
        "os.close(1)",
        "os.close(1); os.close(2)",
        "sys.stdout.close()",
        "print('half', end=''); sys.stdout = None",
        "sys.stdout = type('Odd', (), {'write': lambda self, text: None})()",
        "sys.stderr.close(); os.close(2)",
    ],
)
@transports.both
def test_streams_that_user_code_breaks_cost_no_answer(damage: str, transport: str) -> None:
    code = handler(
        f"""
        if event["break"]:
            {damage}
            return "broken"
        sys.stdout.write("alive\\n") if sys.stdout else None
        return "well"
        """
    )
    well, broken = b'{"break":false}', b'{"break":true}'
    environment = transports.SETTINGS[transport]
    outcome = run_function(code, events=[well, broken, well], environment=environment)
    bodies = [request.partition(b"\r\n\r\n")[2] for request in outcome.requests]
    assert [body for body in bodies if body] == [b'"well"', b'"broken"', b'"well"']


@transports.both
def test_a_closed_standard_output_works_again_in_the_next_invocation(transport: str) -> None:
    code = handler("print(event)\nif event == 1: os.close(1)\nif event == 2: sys.stdout.close()")
    environment = transports.SETTINGS[transport]
    outcome = run_function(code, events=[b"0", b"1", b"2", b"3"], environment=environment)
    # the descriptor's successor is standard error, which goes to the same log
    assert outcome.stdout + outcome.stderr.replace("lambda-runtime: ", "") != ""
    assert [line for line in (outcome.stdout + outcome.stderr).splitlines() if line.isdigit()] == [
        "0",
        "1",
        "2",
        "3",
    ]


def test_lone_surrogates_are_logged() -> None:
    outcome = run_function(handler("logging.error('\\udfff'); context.log('\\ud800\\n')"))
    assert "\\udfff" in outcome.stdout
    assert "\\ud800" in outcome.stdout
