"""docs/errors.md has each error type that the runtime reports or explains, each with a cure."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/errors.md").read_text()
TYPE = re.compile(r"(?:Runtime|Extension|Telemetry|Logs)\.[A-Z]\w+")
#: What only Lambda says: of these the emulator's sources are asked.
LAMBDAS_OWN = {"Sandbox.Timedout", "Function.ResponseSizeTooLarge", "Runtime.InvalidEntrypoint"}


def types_in(folder: str) -> set[str]:
    """The error types that are strings of their own in the sources below `folder`."""
    return {
        node.value
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if TYPE.fullmatch(node.value) or node.value in LAMBDAS_OWN
    }


def sections() -> dict[str, str]:
    """The page's text by the type that it is about."""
    parts = re.split(r"^### (\S+)$", PAGE, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_type_of_the_sources_has_its_section() -> None:
    assert set(sections()) == types_in("runtime/lambda_runtime") | LAMBDAS_OWN


def test_lambda_s_own_are_what_the_emulator_says() -> None:
    assert types_in("emulator/lambda_emulator") >= LAMBDAS_OWN


def test_every_section_has_a_cure() -> None:
    for name, text in sections().items():
        what, found, cure = text.partition("**Cure:** ")
        assert len(what.strip()) > 30 and found and len(cure.strip()) > 10, name


def test_the_log_leads_to_the_page() -> None:
    source = (ROOT / "runtime/lambda_runtime/errors/reports.py").read_text()
    assert "docs/errors.md" in source
