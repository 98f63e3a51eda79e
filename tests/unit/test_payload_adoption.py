"""When orjson takes over: only then, and never if it cannot be had. Each in a fresh interpreter."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HAS_ORJSON = find_spec("orjson") is not None
RUNTIME = Path(__file__).parents[2] / "runtime"


def run(code: str) -> str:
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(RUNTIME)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return process.stdout.strip()


def test_small_payloads_never_load_it() -> None:
    assert run(
        "import sys; from lambda_runtime import payload\n"
        "for _ in range(1000): payload.encode(payload.decode(b'{\"a\": [1, 2]}'))\n"
        "print('orjson' in sys.modules, 'json' in sys.modules)"
    ) == ("False False")


def test_two_megabytes_in_all_do() -> None:
    assert run(
        "import sys; from lambda_runtime import payload\n"
        "for _ in range(24): payload.decode(b'\"' + b'a' * 100_000 + b'\"')\n"
        "print('orjson' in sys.modules)"
    ) == str(HAS_ORJSON)


def test_when_the_function_has_imported_it_it_serves_at_once() -> None:
    assert (
        run(
            "try: import orjson\nexcept ImportError: orjson = None\n"
            "from lambda_runtime import payload\n"
            "payload.decode(b'1'); print(payload._orjson is orjson)"
        )
        == "True"
    )


def test_without_it_the_interpreters_engine_goes_on() -> None:
    assert run(
        "import sys; sys.modules['orjson'] = None; from lambda_runtime import payload\n"
        "big = b'[' + b'1,' * 1_000_000 + b'1]'\n"
        "print(len(payload.decode(big)), len(payload.encode([1] * 3)), payload._orjson)"
    ) == ("1000001 7 None")


@pytest.mark.parametrize("imported", [False, True])
@pytest.mark.parametrize(
    "name", ["json", "enum", "uuid", "dataclasses", "datetime", "token", "inspect", "orjson"]
)
def test_a_functions_files_named_like_what_it_imports(
    tmp_path: Path, name: str, imported: bool
) -> None:
    """With them it would end the process, by a segmentation fault."""
    (tmp_path / f"{name}.py").write_text("own = True\n")
    first = f"import {name}\n" if imported else ""
    assert run(
        "import sys; from lambda_runtime import payload\n"
        f"sys.path.insert(0, {str(tmp_path)!r}); {first}\n"
        "big = b'[' + b'1,' * 1_500_000 + b'1]'\n"
        "print(len(payload.decode(big)), len(payload.decode(big)))\n"
        "print(payload.encode({'a': [1]}).decode())\n"
        f"sys.modules.pop({name!r}, None) if not {imported} else None\n"
        f"import {name}; print({name}.own)"
    ).split() == ["1500001", "1500001", '{"a":[1]}', "True"]
