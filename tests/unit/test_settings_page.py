"""pages.settings has every variable that the runtime reads of its own, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pages import settings

ROOT = Path(__file__).parents[2]
# LAMBDA_RUNTIME_DIR is AWS's. The packer speaks to the process in which it tries a function.
NOT_SETTINGS = {"LAMBDA_RUNTIME_DIR", "LAMBDA_RUNTIME_PACK_IMPORTS", "LAMBDA_RUNTIME_PACK_NETWORK"}


def read_by_the_sources() -> set[str]:
    """The variables whose names are in the runtime's sources."""
    sources = (ROOT / "runtime" / "lambda_runtime").rglob("*.py")
    return {
        name
        for source in sources
        for name in re.findall(r"(?<![A-Z_])LAMBDA_RUNTIME_[A-Z_]+", source.read_text())
    }


def test_every_setting_is_defined_and_none_else() -> None:
    names = [each.name for each in settings.SETTINGS]
    assert names == sorted(read_by_the_sources() - NOT_SETTINGS)


def test_the_page_is_what_is_defined() -> None:
    page = settings.PAGE.read_text()
    assert page == settings.written(page), "run python -m pages.settings"


def test_the_switches_are_settings_and_the_pages_exist() -> None:
    names = {each.name for each in settings.SETTINGS}
    switched = set(re.findall(r"LAMBDA_RUNTIME_[A-Z_]+", settings.switches_table()))
    assert switched <= names
    for each in (*settings.SETTINGS, *settings.SWITCHES):
        assert (settings.PAGE.parent / each.page).is_file()


def test_a_page_without_a_place_for_a_table() -> None:
    with pytest.raises(ValueError, match="has no place for the table 'settings'"):
        settings.written("# Settings\n")
