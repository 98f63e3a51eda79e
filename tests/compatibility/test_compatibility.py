"""The table of libraries: what it is made from, how it is made, and all of it in the long form."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from compatibility import libraries, page
from compatibility.trial import RUNTIMES, WORKS, TrialError, attempt
from support.paths import ROOT

LIBRARIES = {each.name: each for each in libraries.read()}
PAGE = (ROOT / "docs/compatibility.md").read_text()


def rows() -> dict[str, list[str]]:
    """The cells of the page's table, by library."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_the_page_has_every_library_with_its_set_up() -> None:
    assert len(LIBRARIES) >= 40
    found = {name: row[1] for name, row in rows().items()}
    assert found == {name: each.setup for name, each in LIBRARIES.items()}


def test_what_works_on_awslambdaric_works_here() -> None:
    worse = {name for name, row in rows().items() if row[3] == WORKS and row[2] != WORKS}
    assert not worse


def test_keys_are_folders_of_their_own() -> None:
    keys = [each.key for each in LIBRARIES.values()]
    assert len(set(keys)) == len(keys) and all(re.fullmatch(r"[a-z0-9-]+", key) for key in keys)


def test_braces_that_are_no_names_stay() -> None:
    places = {"collector": "http://there"}
    assert libraries.filled('{"a": 1} {collector}', places) == '{"a": 1} http://there'


@pytest.mark.xdist_group("compatibility")
def test_a_library_that_works(tmp_path: Path) -> None:
    outcome = attempt(LIBRARIES["structlog"], tmp_path)
    assert outcome.results == dict.fromkeys(RUNTIMES, WORKS)
    row = page.render([outcome], "3.13.1").splitlines()[-1]
    assert (
        row == f"| structlog | {outcome.version} | {LIBRARIES['structlog'].setup} | works | works |"
    )


@pytest.mark.xdist_group("compatibility")
def test_what_is_missing_is_told(tmp_path: Path) -> None:
    wanting = replace(LIBRARIES["structlog"], seen=["never | logged"])
    outcome = attempt(wanting, tmp_path)
    assert outcome.results == dict.fromkeys(RUNTIMES, "without never | logged")
    assert r"does not: without never \| logged" in page.render([outcome], "3.13.1")
    wrong = replace(wanting, answer="another")
    assert attempt(wrong, tmp_path).results["lambda_runtime"] == 'answered "logged"'


def test_what_cannot_be_installed_is_told(tmp_path: Path) -> None:
    absent = replace(LIBRARIES["structlog"], packages=["structlog==0.0.0.0"])
    with pytest.raises(TrialError, match=r"^cannot be installed: "):
        attempt(absent, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(600, func_only=True)
@pytest.mark.parametrize("name", LIBRARIES)
def test_every_library(name: str, tmp_path: Path) -> None:
    """As it is on the index today: on awslambdaric it may fail, then it may here."""
    outcome = attempt(LIBRARIES[name], tmp_path)
    here, there = outcome.results.values()
    assert here == WORKS or there != WORKS
