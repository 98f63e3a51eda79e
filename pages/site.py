"""`make docs`: the documentation as a site, in build/site. Every warning is an error.

The pages are read in the repository, too. There a link may lead out of docs/, and a code block may
have a name after its language, by which the tests find it; on the site neither has a meaning. So
the site is made from a copy.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 300
_NAMED_BLOCK = re.compile(r"^(```[a-z]+) \S+$", re.MULTILINE)
_LINK_OUT = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(#[^)\s]+)?\)")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_NAV_PAGE = re.compile(r": (\S+\.md)$", re.MULTILINE)


class SiteError(Exception):
    """What is wrong with the pages."""


def build(output: Path, source: Path = _ROOT, repository: str = "") -> None:
    """Make the site of the checkout `source` in `output`.

    `repository` is the address of its files, as in https://forge.example/owner/name/blob/main; the
    links that lead out of docs/ go there, or are left out.

    Raises:
        SiteError: a link leads nowhere, a page is in no menu, or a warning of the generator's.
    """
    configuration = (source / "mkdocs.yml").read_text()
    _check_menu(configuration, source / "docs")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(source / "docs", work / "docs")
        (work / "mkdocs.yml").write_text(configuration)
        for page in sorted((work / "docs").glob("*.md")):
            page.write_text(prepared(page.read_text(), page.name, source, repository))
        _generate(work)
        shutil.rmtree(output, ignore_errors=True)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(work / "site", output)


def prepared(text: str, name: str, source: Path, repository: str) -> str:
    """A page's text as the site has it. Raises SiteError for a link out of docs/ to nothing."""

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        if not (source / target).exists():
            raise SiteError(f"docs/{name} links to {target}, which does not exist")
        return f"[{words}]({repository}/{target}{anchor})" if repository else words

    return _LINK_OUT.sub(link, _NAMED_BLOCK.sub(r"\1", text))


def _check_menu(configuration: str, docs: Path) -> None:
    listed = _NAV_PAGE.findall(configuration)
    pages = sorted(path.name for path in docs.glob("*.md"))
    if sorted(listed) != pages:
        odd = ", ".join(sorted(set(listed) ^ set(pages)) or sorted(listed))
        raise SiteError(f"the menu in mkdocs.yml is not each of the pages once: {odd}")


def _generate(work: Path) -> None:
    program = Path(sys.executable).with_name("zensical")
    command = [str(program), "build", "--strict", "--config-file", "mkdocs.yml"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode:
        said = _COLOUR.sub("", done.stdout + done.stderr).partition("Traceback")[0].strip()
        raise SiteError(said or f"{program.name} failed without a message")


def main() -> int:
    """Build; the exit status is 1 if something is wrong with the pages."""
    parser = argparse.ArgumentParser(prog="make docs", description=__doc__)
    parser.add_argument("--repository", default="", help="the address of the repository's files")
    options = parser.parse_args()
    output = _ROOT / "build/site"
    try:
        build(output, repository=options.repository.rstrip("/"))
    except SiteError as error:
        print(f"make docs: {error}", file=sys.stderr)
        return 1
    print(output / "index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
