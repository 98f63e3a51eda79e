"""The same handlers and events on awslambdaric and on this runtime, under RIE: the same outcome."""

from __future__ import annotations

import json

import pytest

from support.contract import check, differences
from support.contract.cases import all_cases, fixtures
from support.contract.session import Case, Session

CASES = all_cases()
ENVIRONMENT = [case for case in CASES if case.id.startswith("environment-")]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", [case for case in CASES if case not in ENVIRONMENT], ids=str)
def test_same_outcome(case: Case, reference: Session, subject: Session) -> None:
    check.same(case, reference, subject)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", ENVIRONMENT, ids=str)
def test_same_environment(case: Case, reference: Session, plain: Session) -> None:
    check.same(case, reference, plain)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", [case for case in CASES if case.alone], ids=str)
def test_next_invocation_succeeds(case: Case, subject: Session) -> None:
    check.recovers(case, subject)


@pytest.mark.parametrize("case", CASES[: len(fixtures())], ids=str)
def test_event_document_arrives_whole(case: Case, subject: Session) -> None:
    (exchange,) = subject.outcome(case)
    assert json.loads(exchange.body) == json.loads(case.events[0])


@pytest.mark.timeout(300)
def test_every_listed_difference_still_shows(reference: Session, subject: Session) -> None:
    assert check.unneeded(reference, subject) == []


def test_every_listed_difference_has_a_rule() -> None:
    assert [row.id for row in differences.listed()] == list(differences.RULES)


def test_case_ids_are_unique() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
