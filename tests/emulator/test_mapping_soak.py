"""The short forms of ``make soak --messages``: order and loss under crashes."""

from __future__ import annotations

import pytest

from support.mapping_soak import Ledger, run


def test_no_message_is_lost_or_out_of_order_under_crashes() -> None:
    ledger = run(messages=210, kills=2, crash_rate=0.04, seed=1)
    assert ledger.wrong == [], str(ledger)
    assert ledger.crashes == 2


@pytest.mark.long
def test_the_same_with_more() -> None:
    ledger = run(messages=6000, kills=12, crash_rate=0.02, seed=2)
    assert ledger.wrong == [], str(ledger)


# the ledger itself


def line(batch: str, event: str, generation: int = 0, *numbers: int) -> dict[str, object]:
    messages = [[0, number] for number in numbers]
    return {"batch": batch, "event": event, "generation": generation, "messages": messages}


def wrong(*lines: dict[str, object]) -> list[str]:
    ledger = Ledger(groups=1, length=3)
    for one in lines:
        ledger.read(one)
    return ledger.wrong


def test_the_ledger_finds_what_is_out_of_order() -> None:
    assert wrong(line("a", "begin", 0, 1), line("a", "end"))


def test_the_ledger_finds_what_comes_again_for_no_reason() -> None:
    first = line("a", "begin", 0, 0), line("a", "end")
    assert wrong(*first, line("b", "begin", 0, 0))
    assert wrong(*first, line("b", "begin", 0, 1), line("c", "begin", 1, 0))


def test_the_ledger_allows_what_a_crash_explains() -> None:
    first = line("a", "begin", 0, 0), line("a", "end")
    assert not wrong(*first, line("b", "begin", 1, 0))
    assert not wrong(*first, line("a", "crash"), line("b", "begin", 0, 0))
    assert not wrong(line("a", "begin", 0, 0), line("b", "begin", 0, 0), line("b", "end"))
