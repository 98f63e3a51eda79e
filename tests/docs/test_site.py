"""The documentation is a site without a broken link."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pages import site
from support.paths import ROOT


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of what the site is made of, to break."""
    folder = tmp_path / "source"
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copytree(ROOT / "examples", folder / "examples")
    for name in ("mkdocs.yml", "SECURITY.md"):
        shutil.copy(ROOT / name, folder)
    return folder


def add(source: Path, text: str) -> None:
    page = source / "docs/faq.md"
    page.write_text(page.read_text() + text)


def test_it_is_made(tmp_path: Path) -> None:
    site.build(tmp_path / "site", repository="https://forge.example/o/n/blob/main")
    pages = {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= pages
    page = (tmp_path / "site/lifecycle.html").read_text()
    assert 'href="https://forge.example/o/n/blob/main/examples/lifecycle/app.py"' in page
    assert "dockerfile three-lines" not in (tmp_path / "site/container.html").read_text()


def test_without_an_address_links_out_are_their_words(tmp_path: Path) -> None:
    text = site.prepared("See [security](../SECURITY.md#report-a-fault).", "x.md", ROOT, "")
    assert text == "See security."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n[x](absent.md)\n", "page does not exist"),
        ("\n[x](layer.md#absent)\n", "anchor does not exist"),
        ("\n[x](../absent/file)\n", "docs/faq.md links to absent/file, which does not exist"),
    ],
    ids=["page", "anchor", "file"],
)
def test_a_broken_link_is_an_error(source: Path, tmp_path: Path, text: str, said: str) -> None:
    add(source, text)
    with pytest.raises(site.SiteError, match=said):
        site.build(tmp_path / "site", source)
    assert not (tmp_path / "site").exists()


def test_a_page_that_no_menu_leads_to_is_an_error(source: Path, tmp_path: Path) -> None:
    (source / "docs/new.md").write_text("# New\n")
    with pytest.raises(site.SiteError, match=r"the menu in mkdocs\.yml .*: new\.md$"):
        site.build(tmp_path / "site", source)
