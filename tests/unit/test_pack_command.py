"""``lambda-runtime pack``: what it writes, what it refuses, what gets into no pack."""

from __future__ import annotations

import inspect
import json
import marshal
import os
import pickle
import platform
import re
import shutil
import socket
import subprocess
import sys
import textwrap
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_runtime.pack import aids, format
from lambda_runtime.pack.packer import aids as packer_aids
from lambda_runtime.pack.packer import report
from support import packs
from support.process import BOOTSTRAP

OTHER_ARCH = "x86_64" if platform.machine() == "aarch64" else "arm64"
TAG = sys.implementation.cache_tag


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return packs.write_function(tmp_path / "task")


def unzip(path: Path, to: Path) -> Path:
    with zipfile.ZipFile(path) as archive:
        archive.extractall(to)
    return to


def test_a_zip_is_the_same_each_time_and_leaves_the_folder_alone(
    task: Path, tmp_path: Path
) -> None:
    before = sorted(task.rglob("*"))
    outs = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for out in outs:
        done = packs.pack(task, "--handler", "app.handler", "--out", str(out))
        assert "running init and 1 event" in done.stderr
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert sorted(task.rglob("*")) == before
    with zipfile.ZipFile(outs[0]) as archive:
        names = archive.namelist()
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert f"lambda-pack/{TAG}-{platform.machine()}.pack" in names
    assert f"acme/__pycache__/core.{TAG}.pyc" in names
    task = unzip(outs[0], tmp_path / "unzipped")
    assert packs.run(task).answer == [[True, 2, 1], "helper", "sub", "one"]


def test_an_earlier_zip_in_the_folder_is_not_zipped(task: Path) -> None:
    out = task / "function.zip"
    for _ in range(2):
        packs.pack(task, "--handler", "app.handler", "--out", str(out))
        with zipfile.ZipFile(out) as archive:
            assert "app.py" in archive.namelist() and "function.zip" not in archive.namelist()


def test_byte_code_is_checked_for_own_modules_only(task: Path, tmp_path: Path) -> None:
    packs.pack(task, "--handler", "app.handler", "--in-place")
    flags = {
        name: int.from_bytes((task / f"{name}.{TAG}.pyc").read_bytes()[4:8], "little")
        for name in ("__pycache__/app", "__pycache__/helper", "acme/__pycache__/core")
    }
    assert flags == {"__pycache__/app": 3, "__pycache__/helper": 3, "acme/__pycache__/core": 1}
    code = marshal.loads((task / f"__pycache__/app.{TAG}.pyc").read_bytes()[16:])
    assert code.co_filename == "/var/task/app.py"


def test_aids_are_used(task: Path) -> None:
    (task / "app.py").write_text(
        "import sys\nSOURCES = []\n"
        "def hook(event, args):\n"
        "    if event == 'compile' and args[1] == '<string>': SOURCES.append(str(args[0]))\n"
        "sys.addaudithook(hook)\n"
        "import re\n"
        "parse, PATTERNS = re._parser.parse, []\n"
        "def spy(pattern, *more): PATTERNS.append(pattern); return parse(pattern, *more)\n"
        "re._parser.parse = spy\n"
        "import acme.core, collections, dataclasses\n"
        "def handler(e, c): return [acme.core.answer(), PATTERNS, SOURCES,\n"
        "    hasattr(collections, 'eval'), hasattr(dataclasses, 'exec'), re.compile.__name__,\n"
        "    bool(re.search('not kept', 'x'))]\n"
    )
    packs.pack(task, "--handler", "app.handler", "--in-place", "--event", str(_event(task)))
    outcome = packs.run(task, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert isinstance(outcome.answer, list)
    answer, patterns, sources = outcome.answer[:3]
    assert "an(sw|ts)er" in patterns and len(sources) >= 2
    outcome = packs.run(task)
    assert outcome.answer == [answer, [], [], False, False, "compile", False]


def test_a_module_that_an_event_imports_keeps_nothing(task: Path) -> None:
    (task / "maker.py").write_text("NAMES = {}\nexec('made = 1', NAMES)\n")
    (task / "app.py").write_text(
        packs.APP + "def late(event, context):\n    import maker\n"
        "    return [maker.NAMES['made'], 'exec' in vars(maker)]\n"
    )
    packs.pack(task, "--handler", "app.late", "--in-place")
    assert packs.run(task, handler="app.late").answer == [1, False]


def test_texts_are_looked_up_and_else_computed(task: Path) -> None:
    (task / "app.py").write_text(
        "import inspect, textwrap\n"
        "DOC = '  one\\n      two\\n      three'\n"
        "KEPT = [inspect.cleandoc(DOC), textwrap.dedent(DOC)]\n"
        "def handler(e, c):\n"
        "    try: inspect.cleandoc(None)\n"
        "    except AttributeError as error: text = str(error)\n"
        "    return [KEPT, inspect.cleandoc('  new\\n   x'), textwrap.dedent(text='  y'), text,\n"
        "        str(inspect.signature(inspect.cleandoc)), inspect.getsource(textwrap.dedent)]\n"
    )
    packs.pack(task, "--handler", "app.handler", "--in-place")
    plain = packs.run(task, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert packs.run(task).answer == plain.answer
    # That they are looked up shows where the original is not asked.
    (task / "app.py").write_text(
        "import inspect\n"
        "inspect.cleandoc.__wrapped__.__code__ = (lambda doc: 'computed').__code__\n"
        "DOC = '  one\\n      two\\n      three'\n"
        "KEPT = inspect.cleandoc(DOC)\n"
        "def handler(e, c): return [KEPT, inspect.cleandoc(DOC)]\n"
    )
    assert packs.run(task).answer == ["one\ntwo\nthree", "computed"]


_lines = st.text(alphabet=" \t\nab\x00é", max_size=40)


@settings(max_examples=300, deadline=None)
@given(_lines, _lines, st.sampled_from((inspect.cleandoc, textwrap.dedent)))
def test_a_recipe_makes_the_text_itself(text: str, other: str, function: Any) -> None:
    for made in (function(text), other):
        found = packer_aids.recipe(text, made)
        assert aids.follow(found, text) == made


def test_a_recipe_is_short_for_what_libraries_write() -> None:
    text = "One line.\n\n    Parameters\n    ----------\n    x : int\n        Deep.\n    "
    for made in (inspect.cleandoc(text), text):
        assert not isinstance(packer_aids.recipe(text, made), str)
    assert packer_aids.recipe(text, text) == ()


def test_keys_of_texts_differ() -> None:
    texts = ["", "a", "b", "a\x00", "é", "\ud800", "\ud801", "e\u0301"]
    assert len({format.digest(text) for text in texts}) == len(texts)


# In the shape of the original: what it parses, and the names that others use.
PARSER = """
import textwrap
from collections import namedtuple
from warnings import warn
CALLS = []
Parameter = namedtuple("Parameter", "name type desc")
class Reader:
    def __init__(self, data): self._str, self._l = data, 0
class NumpyDocString:
    sections = {"Summary": [""], "Parameters": [], "index": {}}
    def __init__(self, docstring, config=None):
        self._doc = Reader(textwrap.dedent(docstring).split("\\n"))
        self._parsed_data = {name: type(value)(value) for name, value in self.sections.items()}
        self._parse()
    def _parse(self):
        CALLS.append(self._doc._str[0])
        self._parsed_data["Summary"] = self._doc._str[:1]
        for line in self._doc._str[1:]:
            if line.startswith("odd"): warn("odd", stacklevel=2)
            if line.startswith("bad"): raise ValueError(line)
            self._parsed_data["Parameters"].append(Parameter(line, "int", ["x"]))
        self._doc._l = len(self._doc._str)
class FunctionDoc(NumpyDocString):
    def __init__(self, function, doc=None, config=None):
        NumpyDocString.__init__(self, function.__doc__ if doc is None else doc, config)
"""

PARSING = """
import warnings
from scipy._lib import _docscrape as parser
TEXTS = ["One\\n  first", "Two\\n  second\\n  third", "Three\\nodd", "Four\\nbad"]
class Own(parser.NumpyDocString):
    def _parse(self): self._parsed_data = 7
def parse(kind, *arguments):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try: doc = kind(*arguments)
        except ValueError as error: return [str(error), len(seen)]
    data = doc._parsed_data
    found = [data, repr(data), doc._doc._str, doc._doc._l, len(seen)]
    if isinstance(data, dict):
        found = [repr(found), data["Parameters"].append("changed")]
    return found
def all_of_them():
    parser.CALLS.clear()
    parsed = [parse(parser.NumpyDocString, text) for text in TEXTS * 2]
    parsed += [parse(Own, TEXTS[0]), parse(parser.FunctionDoc, None, TEXTS[1])]
    return [parsed, list(parser.CALLS)]
FIRST = all_of_them()
parser.NumpyDocString.sections["New"] = [1]
SECOND = all_of_them()
def handler(event, context):
    return [FIRST, SECOND, all_of_them(), sorted(vars(parser))]
"""


def test_parsed_docstrings_are_looked_up_and_else_parsed(task: Path) -> None:
    files = {
        "scipy/__init__.py": "",
        "scipy/_lib/__init__.py": "",
        "scipy/_lib/_docscrape.py": PARSER,
    }
    packs.install_distribution(task, "scipy", "1.0", files, compiled=False)
    (task / "app.py").write_text(PARSING)
    packs.pack(task, "--handler", "app.handler", "--in-place")
    plain = packs.run(task, environment={"LAMBDA_RUNTIME_PACK": "0"}).answer
    packed = packs.run(task).answer
    assert isinstance(packed, list) and isinstance(plain, list)
    assert [part[0] for part in packed[:3]] == [part[0] for part in plain[:3]]
    assert packed[3] == plain[3]
    assert plain[0][1] == ["One", "Two", "Three", "Four"] * 2 + ["Two"]
    # What warns, raises, or differs from the module as it was packed is parsed anew.
    assert packed[0][1] == ["Three", "Four"] * 2
    assert packed[1][1] == packed[2][1] == plain[1][1]


def test_equal_strings_in_a_model_become_one() -> None:
    text = '{"a": {"type": "string"}, "b": ["string", 1, null, true, 1.5], "string": "a"}'
    document = json.loads(text, object_pairs_hook=OrderedDict)
    made = pickle.loads(packer_aids._pickle({"model": document, "list": [document]}))
    assert repr(made) == repr({"model": document, "list": [document]})
    assert made["model"]["a"]["type"] is made["list"][0]["b"][0]


# In the shape of the original.
HOOKS = """
import copy, logging
logger = logging.getLogger(__name__)
EVENT_ALIASES = {"old": "new", "older": "newer"}
TRIED = []
class EventAliaser:
    def __init__(self, aliases=None):
        self._event_aliases = EVENT_ALIASES if aliases is None else aliases
        self._alias_name_cache = {}
    def _alias_event_name(self, event_name):
        if event_name not in self._alias_name_cache:
            TRIED.append(event_name)
            parts = event_name.split(".")
            for old, new in self._event_aliases.items():
                if old in parts:
                    logger.debug("changed")
                    parts[parts.index(old)] = new
                    break
            self._alias_name_cache[event_name] = ".".join(parts)
        return self._alias_name_cache[event_name]
"""

ALIASING = """
import logging, sys
from botocore import hooks
class Own(hooks.EventAliaser): pass
NAMES = ["a.old", "older.b", "c", "a.old", "older.old"]
def run(aliaser):
    hooks.TRIED.clear()
    found = [aliaser._alias_event_name(name) for name in NAMES]
    return [found, list(aliaser._alias_name_cache.items())], len(hooks.TRIED)
def handler(event, context):
    return [FIRST, run(hooks.EventAliaser())]
FIRST = [run(hooks.EventAliaser())]
if "again" in sys.modules:  # only with the finished pack
    FIRST += [run(Own()), run(hooks.EventAliaser({"older": "x", "old": "y"})),
              run(hooks.EventAliaser({"older": "newer", "old": "new"}))]
    hooks.logger.setLevel(logging.DEBUG)
    FIRST.append(run(hooks.EventAliaser()))
"""


def test_aliases_of_event_names_are_looked_up_and_else_searched(task: Path) -> None:
    files = {"botocore/__init__.py": "", "botocore/hooks.py": HOOKS}
    packs.install_distribution(task, "botocore", "1.0", files, compiled=False)
    (task / "app.py").write_text(ALIASING)
    packs.pack(task, "--handler", "app.handler", "--in-place")
    (task / "again.py").write_text("from app import handler")
    plain = packs.run(task, handler="again.handler", environment={"LAMBDA_RUNTIME_PACK": "0"})
    packed = packs.run(task, handler="again.handler")
    assert isinstance(packed.answer, list) and isinstance(plain.answer, list)
    results = [
        [run[0] for run in [*answer[0], answer[1]]] for answer in (packed.answer, plain.answer)
    ]
    assert results[0] == results[1]
    assert [run[1] for run in plain.answer[0]] == [4] * 5
    assert [run[1] for run in packed.answer[0]] == [0, 4, 4, 4, 4]
    assert packed.answer[1][1] == 4  # init is over


def test_a_flipped_bit_in_any_section_changes_no_result(task: Path) -> None:
    files = {
        "scipy/__init__.py": "",
        "scipy/_lib/__init__.py": "",
        "scipy/_lib/_docscrape.py": PARSER,
        "botocore/__init__.py": "",
        "botocore/hooks.py": HOOKS,
    }
    packs.install_distribution(task, "both", "1.0", files, compiled=False)
    (task / "app.py").write_text(
        "import inspect, acme.core\n"
        "from botocore import hooks\n"
        "from scipy._lib import _docscrape as parser\n"
        "docs = [parser.NumpyDocString(f'{n}\\n  a\\n  b')._parsed_data for n in range(3)]\n"
        "FOUND = [repr(docs), hooks.EventAliaser()._alias_event_name('old.x'),\n"
        "    inspect.cleandoc('a\\n   b')]\n"
        "def handler(event, context): return [FOUND, acme.core.answer()]\n"
    )
    packs.pack(task, "--handler", "app.handler", "--in-place")
    plain = packs.run(task, environment={"LAMBDA_RUNTIME_PACK": "0"}).answer
    path = packs.pack_file(task)
    data = path.read_bytes()
    at, size, _ = format.parse_head(data)[3]
    index = marshal.loads(data[at : at + size])
    assert {"aliases", "docstrings", "inspect", "regexes", "sources"} <= index["aids"].keys()
    for start, length, _ in index["sections"]:
        flipped = bytearray(data)
        flipped[start + length // 2] ^= 4
        path.write_bytes(flipped)
        outcome = packs.run(task)
        assert outcome.answer == plain
        assert outcome.stdout.count("[WARN]") <= 1


def test_the_report_and_explanations(task: Path, tmp_path: Path) -> None:
    (task / "app.py").write_text(packs.APP + "def more(event, context):\n    import late\n")
    (task / "late.py").write_text("")
    page = tmp_path / "report.html"
    names = ("helper", "acme.core", f"acme.{packs.EXTENSION}", "json", "late", "sys", "nowhere")
    questions = [part for name in names for part in ("--explain", name)]
    arguments = ["--handler", "app.more", "--in-place", "--report", str(page)]
    done = packs.pack(task, *arguments, *questions)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert "your own" in said["helper"] and "for init" in said["helper"]
    assert "installed by acme-1.0.dist-info" in said["acme.core"]
    assert "searched for no more" in said[f"acme.{packs.EXTENSION}"]
    assert "the standard library" in said["json"]
    assert "for the first invocation" in said["late"]
    assert "neither by init nor by the events" in said["nowhere"]
    text = page.read_text()
    assert text.count("<svg") == text.count("</svg>") == 2
    for part in ("acme.core: ", "With the pack: ", "By package", "<td>acme<td>", "built in"):
        assert part in text
    for picture in re.findall("<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(picture)


def test_imports_are_read_from_what_the_interpreter_says() -> None:
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:        10 |         10 |     deep.er",
        "import time:        20 |         30 |   deep",
        "import time:         5 |         35 | top",
        "import time:         7 |          7 | other",
    ]
    top, other = report.parse(lines)
    assert (top.name, top.own, top.total, other.name) == ("top", 5, 35, "other")
    assert [one.name for one in report.walk([top])] == ["top", "deep", "deep.er"]
    assert report.by_package([top, other]) == {"top": 5, "deep": 30, "other": 7}


def test_pruning_takes_a_list_that_somebody_has_read(task: Path, tmp_path: Path) -> None:
    unused = {
        "acme/unused.txt": "x" * 5000,
        "acme/data.txt": "data",
        "acme/tests/test_core.py": "",
        "other/__init__.py": "",
        "other/deep/data.bin": "",
    }
    packs.write_files(task, unused)
    (task / "app.py").write_text(
        packs.APP + "import os\nDATA = open(os.path.dirname(acme.__file__) + '/data.txt').read()\n"
    )
    listed = tmp_path / "untouched.txt"
    out = tmp_path / "out"
    arguments = ["--handler", "app.handler", "--prune", str(listed), "--out", str(out)]
    done = packs.pack(task, *arguments)
    assert "nothing has been removed" in done.stderr
    assert (out / "acme" / "unused.txt").exists()
    lines = [line for line in listed.read_text().splitlines() if line[0] != "#"]
    assert "acme/data.txt" not in lines and "acme/core.py" not in lines
    assert {*unused} - {"acme/data.txt"} <= {*lines}
    assert not any(name.startswith(("app", "helper", "acme-1.0")) for name in lines)
    listed.write_text("\n".join(line for line in lines if "tests" not in line))
    shutil.rmtree(out)
    done = packs.pack(task, *arguments)
    assert "left out what" in done.stderr
    assert not (out / "acme" / "unused.txt").exists() and not (out / "other").exists()
    assert (out / "acme" / "tests" / "test_core.py").exists()
    assert packs.run(out).answer == [[True, 2, 1], "helper", "sub", "one"]
    listed.write_text("../outside.txt\n")
    shutil.rmtree(out)
    done = packs.pack(task, *arguments, expect=1)
    assert "does not lie in the function's folder" in done.stderr
    assert (task / "app.py").exists()


def _event(task: Path) -> Path:
    path = task.parent / "event.json"
    path.write_text(json.dumps({"n": 1}))
    return path


def test_sources_that_cannot_be_kept_are_compiled_as_ever(task: Path) -> None:
    (task / "app.py").write_text(
        packs.APP.replace("import sys", "import pathlib")
        + "class Text(str): pass\nclass Flags(int): pass\n"
        "NAMES = {}\n"
        "exec(compile(Text('A = 1'), 'made', 'exec'), NAMES)\n"
        "exec(compile('B = 2', pathlib.Path('made'), 'exec'), NAMES)\n"
        "exec(compile('C = 3', Text('made'), 'exec', Flags()), NAMES)\n"
        "def more(event, context): return [NAMES[name] for name in 'ABC']\n"
    )
    packs.pack(task, "--handler", "app.more", "--in-place")
    assert packs.run(task, handler="app.more").answer == [1, 2, 3]


def test_no_part_of_a_secret_gets_into_a_pack(task: Path) -> None:
    (task / "app.py").write_text(
        packs.APP + "import json, os, re\n"
        "SECRETS = json.loads(os.environ.get('SECRETS', '{}'))\n"
        "PIN = SECRETS.get('pin', 0)\n"
        "PATTERNS = [re.compile(f'pin-{PIN}'), re.compile('pin-1')]\n"
        "CODE = compile('x = 1', f'<made for {PIN}>', 'exec')\n"
    )
    arguments = ["--handler", "app.handler", "--in-place", "--env", 'SECRETS={"pin": 86420975}']
    packs.pack(task, *arguments)
    data = packs.pack_file(task).read_bytes()
    assert b"pin-1" in data and b"86420975" not in data


def test_no_secret_gets_into_a_pack(task: Path) -> None:
    (task / "app.py").write_text(
        "import os, re, collections\n"
        "SECRET = os.environ.get('SECRET', 'none')\n"
        "PATTERNS = [re.compile(f'user-{SECRET}'), re.compile('plain-[a-z]')]\n"
        "KIND = collections.namedtuple('Kind', [f'of_{SECRET}', 'name'])\n"
        "OUTER = re.compile(os.environ.get('OUTER_SECRET') or 'nothing')\n"
        "def handler(e, c): return OUTER.pattern\n"
    )
    outside = {"OUTER_SECRET": "from-outside-8h3k", "AWS_SECRET_ACCESS_KEY": "own-key-2j4"}
    arguments = ["--handler", "app.handler", "--in-place", "--env", "SECRET=hunter2xyz"]
    packs.pack(task, *arguments, environment=outside)
    data = packs.pack_file(task).read_bytes()
    assert b"plain-[a-z]" in data
    for secret in (b"hunter2xyz", b"from-outside-8h3k", b"own-key-2j4"):
        assert secret not in data
    assert packs.run(task, environment={"SECRET": "hunter2xyz"}).answer == "nothing"


def test_the_function_runs_without_credentials_and_network(task: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        port = server.getsockname()[1]
        (task / "app.py").write_text(
            "import os, socket\n"
            f"try: socket.create_connection(('127.0.0.1', {port}), 5); ERROR = ''\n"
            "except OSError as error: ERROR = str(error)\n"
            "def handler(e, c):\n"
            "    raise ValueError(ERROR + ' ' + os.environ['AWS_SECRET_ACCESS_KEY'])\n"
        )
        arguments = ["--handler", "app.handler", "--in-place"]
        own = {"AWS_SECRET_ACCESS_KEY": "own-key-2j4"}
        done = packs.pack(task, *arguments, environment=own)
        assert "--allow-network changes that example" in done.stderr
        done = packs.pack(task, *arguments, "--allow-network", environment=own)
        assert "--allow-network" not in done.stderr
        assert "answered with an error" in done.stderr and "own-key" not in done.stderr


def test_a_target_that_cannot_be_run_here(task: Path) -> None:
    done = packs.pack(task, "--handler", "app.handler", "--in-place", "--arch", OTHER_ARCH)
    assert "cannot be run here" in done.stderr
    machine = {"arm64": "aarch64"}.get(OTHER_ARCH, OTHER_ARCH)
    path = packs.pack_file(task)
    assert path.name == f"{TAG}-{machine}.pack"
    # All that it can be tried with: this machine, named as the other one.
    own = platform.machine()
    data = path.read_bytes()
    key = f", {machine}\n".encode()
    assert key in data[:128]
    head = data[:96].replace(key, f", {own}\n".encode()).ljust(96)[:96]
    path.with_name(f"{TAG}-{own}.pack").write_bytes(head + data[96:])
    (task / "acme" / "core.py").unlink()
    for cache in task.rglob("__pycache__"):
        subprocess.run(["rm", "-r", cache], check=True)
    outcome = packs.run(task)
    assert outcome.answer == [[True, 2, 1], "helper", "sub", "one"]
    assert outcome.stdout == ""


def test_a_function_whose_init_fails(task: Path) -> None:
    (task / "app.py").write_text("raise RuntimeError('no database')\n")
    done = packs.pack(task, "--handler", "app.handler", "--in-place", expect=1)
    assert "init failed" in done.stderr and "no database" in done.stderr
    assert "--env" in done.stderr and "Traceback" not in done.stderr
    (task / "app.py").write_text("import time; time.sleep(60)\n")
    arguments = ("--handler", "app.handler", "--in-place", "--timeout", "1")
    said = packs.pack(task, *arguments, expect=1).stderr
    assert "init failed: it was not over within 1 s (--timeout)" in said
    (task / "app.py").write_text("import time\ndef handler(event, context): time.sleep(60)\n")
    assert "not done within 1 s (--timeout)" in packs.pack(task, *arguments, expect=1).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--handler", "a.b", "--in-place"], "nowhere is not a folder"),
        ([".", "--in-place"], "say what init is: --handler"),
        ([".", "--handler", "a.b", "--in-place", "--python", "2.7"], "3.11 or a later one"),
        ([".", "--handler", "a.b", "--in-place", "--python", "3.99"], "uv python install 3.99"),
        ([".", "--handler", "a.b", "--in-place", "--arch", "sparc"], "x86_64 and arm64"),
        ([".", "--handler", "a.b", "--in-place", "--env", "X"], "write it as NAME=VALUE"),
        ([".", "--handler", "a.b", "--in-place", "--event", "none.json"], "none.json is not there"),
        ([".", "--handler", "a.b", "--out", "."], "it is there already"),
        ([".", "--handler", "a.b", "--in-place", "--timeout", "0"], "seconds above 0"),
        ([".", "--handler", "a.b", "--in-place", "--max-growth", "-1"], "megabytes from 0 on"),
        ([".", "--handler", "a.b", "--in-place", "--event", "bytes"], "bytes: no JSON: 'utf-8'"),
        ([".", "--handler", "a.b", "--in-place", "--layer", "bytes"], "the unzipped layer"),
        ([".", "--handler", "a.b", "--in-place", "--report", "x/y.html"], "a folder that is there"),
        ([".", "--handler", "a.b", "--in-place", "--prune", "."], "give a file in a folder"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")
    done = subprocess.run(
        [sys.executable, "-m", "lambda_runtime", "pack", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(BOOTSTRAP.parent / "runtime")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1


def sparse(path: Path, size: int) -> None:
    """Make a file of this size without writing its blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)


def test_what_lambda_would_refuse_for_its_size(task: Path, tmp_path: Path) -> None:
    sparse(tmp_path / "layer" / "large", 262_144_000)
    arguments = ["--handler", "app.handler", "--in-place", "--layer", str(tmp_path / "layer")]
    done = packs.pack(task, *arguments, expect=1)
    assert "Lambda takes 262,144,000" in done.stderr and "--image" in done.stderr
    packs.pack(task, *arguments, "--image")
    assert packs.run(task).stdout == ""


def test_what_is_added_fits_beside_function_and_layers(task: Path, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    arguments = ["--handler", "app.handler", "--layer", str(layer)]
    own = sum(path.stat().st_size for path in task.rglob("*") if path.is_file())
    for spare, has_pack in ((10_000_000, True), (10_000, False)):
        sparse(layer / "large", 262_144_000 - own - spare)
        out = tmp_path / f"out-{spare}"
        done = packs.pack(task, *arguments, "--out", str(out))
        assert (out / "lambda-pack").exists() == has_pack
        assert ("no pack: it would add more" in done.stderr) != has_pack
        after = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        assert own < after <= own + spare
        assert packs.run(out).answer == [[True, 2, 1], "helper", "sub", "one"]


def test_packs_for_several_targets_lie_side_by_side(task: Path) -> None:
    packs.pack(task, "--handler", "app.handler", "--in-place", "--arch", OTHER_ARCH)
    packs.pack(task, "--handler", "app.handler", "--in-place")
    other = task / "__pycache__" / "app.cpython-399.pyc"
    other.write_bytes(b"of another Python")
    packs.pack(task, "--handler", "app.handler", "--in-place")
    machines = {"aarch64", "x86_64"}
    names = {path.name for path in (task / "lambda-pack").iterdir()}
    assert names == {f"{TAG}-{machine}.pack" for machine in machines}
    assert other.exists()
    assert packs.run(task).stdout == ""


def test_growth_is_limited(task: Path) -> None:
    done = packs.pack(task, "--handler", "app.handler", "--in-place", "--max-growth", "0")
    assert "left out for size" in done.stderr
    assert not list(task.rglob("*.pyc")) and not (task / "lambda-pack").exists()
    assert packs.run(task).answer == [[True, 2, 1], "helper", "sub", "one"]


def test_modules_of_a_layer_are_its_own(task: Path, tmp_path: Path) -> None:
    packs.write_files(tmp_path / "layer/python", {"shared.py": "NAME = 'shared'\n"})
    (task / "app.py").write_text("import shared\ndef handler(e, c): return shared.NAME\n")
    arguments = ["--handler", "app.handler", "--in-place"]
    assert "No module named 'shared'" in packs.pack(task, *arguments, expect=1).stderr
    packs.pack(task, *arguments, "--layer", str(tmp_path / "layer"))
    (tmp_path / "layer/python/shared.py").write_text("NAME = 'newer'\n")
    path = {"PYTHONPATH": str(tmp_path / "layer/python")}
    assert packs.run(task, environment=path).answer == "newer"


def test_a_function_that_imports_next_to_nothing_has_no_pack(task: Path) -> None:
    (task / "app.py").write_text("def handler(event, context): return event\n")
    arguments = ["--handler", "app.handler", "--in-place", "--explain", "app"]
    done = packs.pack(task, *arguments, "--report", str(task.parent / "report.html"))
    assert "no pack: there are too few imports" in done.stderr
    assert "too few imports" in done.stdout
    assert not (task / "lambda-pack").exists()
    assert (task / f"__pycache__/app.{TAG}.pyc").exists()
    assert packs.run(task).answer == {}
