"""Assertions of the contract for any two sessions: of a checkout, a layer or an image."""

from __future__ import annotations

import json

from support.contract import differences
from support.contract.cases import all_cases
from support.contract.session import Case, Session


def same(case: Case, reference: Session, subject: Session) -> None:
    """Assert that the subject behaves as the reference, except for the wanted differences."""
    theirs, ours = reference.outcome(case), subject.outcome(case)
    wanted, _ = differences.explain(case, theirs, ours, subject.runtime.python)
    for number, (expected, found) in enumerate(zip(wanted, ours, strict=True)):
        where = f"{case.id}, invocation {number}, wanted: awslambdaric's as of docs/differences.md"
        assert found.status == expected.status, where
        assert found.body == expected.body, where
        assert found.log == expected.log, where
        assert found.ended == expected.ended, where


def recovers(case: Case, subject: Session) -> None:
    """Assert that the invocations before and after a hostile one get their answers."""
    before, _, after = subject.outcome(case)
    assert (before.status, after.status) == (200, 200), after
    assert json.loads(before.body) == {"before": 0}
    # The process may be the same or a new one. In both, nothing is left of the error.
    assert json.loads(after.body) in ({"before": 2}, {"before": 0}), after


def unneeded(reference: Session, subject: Session) -> list[str]:
    """The page's rows and patterns (``row: pattern``) that none of the pattern's cases needs."""
    rows = {
        (row.id, pattern)
        for row in differences.listed()
        if row.shows_on(subject.runtime.python)
        for pattern in row.cases
    }
    for case in all_cases():
        theirs, ours = reference.outcome(case), subject.outcome(case)
        _, used = differences.explain(case, theirs, ours, subject.runtime.python)
        rows -= used
    return sorted(f"{row}: {pattern}" for row, pattern in rows)
