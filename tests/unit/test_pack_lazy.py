"""``lambda-runtime pack --lazy``: what neither init nor the events use is imported when used."""

from __future__ import annotations

import ast
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_runtime.pack import lazy
from lambda_runtime.pack.packer.lazy import compile_lazily
from support import packs
from support.process import Outcome

HAS_LAZY_IMPORTS = sys.version_info >= (3, 15)

APP = """\
import wave, plistlib
from own import used, unused
import own.deep
from register import loaded

def handler(event, context):
    if event == "unused":
        return [unused(), own.deep.VALUE, wave.__name__]
    if event == "attribute":
        import shared
        return shared.inner.VALUE
    if event == "loaded":
        return loaded()
    return used()
"""
FILES = {
    "app.py": APP,
    "register.py": (
        "import sys\n"
        "NAMES = {'own.a', 'own.b', 'own.deep', 'shared.inner', 'wave'}\n"
        "def loaded():\n    return sorted(NAMES & sys.modules.keys())\n"
    ),
    "own/__init__.py": "from .a import used\nfrom .b import unused\n",
    "own/a.py": "def used():\n    return 'used'\n",
    "own/b.py": "import shared.inner\nimport shared.other\ndef unused():\n    return 'unused'\n",
    "own/deep.py": "VALUE = 'deep'\n",
    "shared/__init__.py": "",
    "shared/inner.py": "VALUE = 'inner'\n",
    "shared/other.py": "",
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = tmp_path_factory.mktemp("lazy") / "task"
    packs.write_files(task, FILES)
    pack(task)
    return task


def pack(task: Path, *arguments: str, expect: int = 0) -> str:
    place = ["--handler", "app.handler", "--in-place", "--root", str(task)]
    return packs.pack(task, *place, "--lazy", *arguments, expect=expect).stderr


def answers(outcome: Outcome) -> list[object]:
    return [json.loads(each.partition(b"\r\n\r\n")[2]) for each in outcome.requests[1::2]]


def run(task: Path, *events: str, **environment: str) -> list[object]:
    outcome = packs.run(
        task, events=[json.dumps(event).encode() for event in events], environment=environment
    )
    assert outcome.stdout == ""
    return answers(outcome)


def test_what_is_not_used_is_imported_when_it_is(packed: Path) -> None:
    before, used, unused, after = run(packed, "loaded", "event", "unused", "loaded")
    assert before == (["own.a", "own.b"] if HAS_LAZY_IMPORTS else ["own.a"])
    assert used == "used"
    assert unused == ["unused", "deep", "wave"]
    assert isinstance(after, list) and {"own.b", "own.deep", "wave"} <= {*after}


ALL = ["own.a", "own.b", "own.deep", "shared.inner", "wave"]


@pytest.mark.parametrize(
    "environment",
    [
        {"LAMBDA_RUNTIME_LAZY_IMPORTS": "0"},
        {"LAMBDA_RUNTIME_PACK": "0"},
        {"AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"},
    ],
)
def test_where_nothing_is_lazy(packed: Path, environment: dict[str, str]) -> None:
    assert run(packed, "loaded", "unused", **environment) == [ALL, ["unused", "deep", "wave"]]


def test_what_the_events_use_is_imported_in_init(packed: Path, tmp_path: Path) -> None:
    task = packs.copy(packed, tmp_path / "task")
    event = tmp_path / "event.json"
    event.write_text('"unused"')
    said = pack(task, "--event", str(event))
    assert "running with lazy imports" in said
    (loaded,) = run(task, "loaded")
    assert isinstance(loaded, list) and {"own.b", "own.deep", "wave"} <= {*loaded}


@pytest.mark.skipif(HAS_LAZY_IMPORTS, reason="there the interpreter's own lazy imports are used")
def test_nothing_is_lazy_that_is_imported_anyway(tmp_path: Path) -> None:
    files = {
        "app.py": "import other, unused\n"
        "def handler(event, context):\n"
        "    if event: return [other.unused(), unused.__name__]\n"
        "    return other.used()\n",
        # Somebody else imports and uses what the function `unused` would need.
        "other.py": "from helper import UNUSED\nfrom helper import VALUE\nimport needed\n"
        "def unused(): return UNUSED\ndef used(): return needed.helper.VALUE\n",
        "needed.py": "import helper\nVALUE = helper.VALUE\n",
        "helper.py": "VALUE = 1\nUNUSED = 2\n",
        "unused.py": "",
    }
    packs.write_files(tmp_path, files)
    assert "1 names are lazy; init and events import 1 modules less" in pack(tmp_path)
    assert run(tmp_path, "", "event") == [1, [2, "unused"]]


@pytest.mark.skipif(HAS_LAZY_IMPORTS, reason="there the interpreter's own lazy imports are used")
def test_a_package_with_compiled_modules_imports_others_lazily(tmp_path: Path) -> None:
    packs.write_function(tmp_path)
    packs.write_files(
        tmp_path,
        {
            "acme/__init__.py": "import wave\nimport acme.core as core\n"
            "def unused(): return [wave.__name__, core.__name__]\n",
            "app.py": "import sys, acme\n"
            "NAMES = {'wave', 'acme.core'}\n"
            "def handler(event, context):\n"
            "    return event and [sorted(NAMES & sys.modules.keys()), acme.unused()]\n",
        },
    )
    said = pack(tmp_path)
    assert "1 names are lazy" in said
    assert run(tmp_path, "event") == [[["acme.core"], ["wave", "acme.core"]]]


def test_what_events_import_themselves_stays_in_init(tmp_path: Path) -> None:
    files = {
        "app.py": "import sys\nimport other\n"
        "LOADED = 'helper' in sys.modules\n"
        "def handler(event, context):\n"
        "    before = 'helper' in sys.modules\n    import helper\n"
        "    return [helper.VALUE, before or event == {}]\n",
        "other.py": "import helper\n",
        "helper.py": "VALUE = 1\n",
    }
    packs.write_files(tmp_path, files)
    pack(tmp_path)
    assert run(tmp_path, "event") == [[1, True]]


@pytest.mark.skipif(HAS_LAZY_IMPORTS, reason="there the interpreter's own lazy imports are used")
def test_a_module_of_a_package_that_others_had_imported(packed: Path) -> None:
    assert run(packed, "attribute", "loaded") == ["inner", ["own.a", "shared.inner"]]


@pytest.mark.skipif(not HAS_LAZY_IMPORTS, reason="below, the pack itself imports lazily")
def test_the_pack_knows_what_is_lazy(packed: Path, tmp_path: Path) -> None:
    task = packs.copy(packed, tmp_path / "task")
    # What the pack does not know is not lazy, whatever the list of eager modules says.
    (task / "app.py").write_text("import uuid\n" + (task / "app.py").read_text())
    (task / "register.py").write_text(
        (task / "register.py").read_text().replace("'wave'", "'wave', 'uuid'")
    )
    (task / "eager-imports.txt").write_text("wave\n")
    assert run(task, "loaded") == [["own.a", "own.b", "uuid"]]


def test_an_edited_module_imports_as_ever(packed: Path, tmp_path: Path) -> None:
    task = packs.copy(packed, tmp_path / "task")
    pack(task)
    with (task / "app.py").open("a") as file:
        file.write("\n")
    (loaded,) = run(task, "loaded", LAMBDA_RUNTIME_LAZY_IMPORTS="0")
    assert loaded == ALL
    assert run(task, "event") == ["used"]


def test_answers_that_lazy_imports_change(tmp_path: Path) -> None:
    files = {
        "app.py": "import registry\nimport plugin.one\n"
        "def handler(event, context):\n    return registry.FOUND\n",
        "registry.py": "FOUND = []\n",
        "plugin/__init__.py": "",
        "plugin/one.py": "import registry\nregistry.FOUND.append('one')\n",
    }
    packs.write_files(tmp_path, files)
    if HAS_LAZY_IMPORTS:
        said = pack(tmp_path, expect=1)
        assert "with lazy imports the function answers otherwise" in said
        (tmp_path / "eager-imports.txt").write_text("plugin.*\n")
        pack(tmp_path)
        assert (tmp_path / "eager-imports.txt").read_text().startswith("plugin.*\n")
    else:
        assert "app needs its imports" in pack(tmp_path)
    assert run(tmp_path, "event") == [["one"]]


def test_what_cannot_be_lazy_at_all(tmp_path: Path) -> None:
    packs.write_files(tmp_path, FILES)
    in_place = ["--in-place", "--lazy"]
    done = packs.pack(tmp_path, "--import", "own", *in_place, expect=1)
    assert "--lazy needs a --handler" in done.stderr
    other = "x86_64" if packs.MACHINE == "aarch64" else "arm64"
    done = packs.pack(tmp_path, "--handler", "app.handler", "--arch", other, *in_place, expect=1)
    assert "cannot show what it uses" in done.stderr or "cannot be run here" in done.stderr


# The transformation


@pytest.fixture
def modules() -> Iterator[dict[str, ModuleType]]:
    """Two modules to import from."""
    made = {name: ModuleType(name) for name in ("lazy_one", "lazy_two")}
    for number, module in enumerate(made.values()):
        vars(module).update(a=[number, "a"], b=[number, "b"])
    sys.modules.update(made)
    yield made
    for name in made:
        del sys.modules[name]


def execute(source: str, *, lazily: bool) -> ModuleType:
    """The module that this is the code of."""
    module = ModuleType("tried")
    if lazily:
        code, names = compile_lazily(
            source.encode(), "tried.py", lambda name: True, lambda *import_: True
        )
        lazy.make_lazy(module, names, ())
    else:
        code = compile(source, "tried.py", "exec")
    exec(code, vars(module) if not lazily else lazy.namespace_of(module))
    return module


def lazy_names(source: str) -> list[str]:
    return compile_lazily(source.encode(), "x.py", lambda name: True, lambda *import_: True)[1]


@pytest.mark.parametrize(
    "rest",
    [
        "a = 1",
        "def f(a): pass",
        "def f():\n    global a\n    a = 2",
        "def f():\n    a = 1\n    def g():\n        nonlocal a",
        "class a: pass",
        "for a in (): pass",
        "try: pass\nexcept ValueError as a: pass",
        "[a for a in ()]",
        "del a",
        "from lazy_two import a",
        "def f():\n    import a",
        "with open('x') as a: pass",
        "match 1:\n    case a: pass",
        "match 1:\n    case a.b: pass",
        "match 1:\n    case [*a]: pass",
        "match 1:\n    case {**a}: pass",
        "(a := 1)",
        "def f(x: a): pass",
        "def f() -> 'list[a]': pass",
        "x: a = 1",
        "T = TypeVar('T', bound='a')",
        "x = list['a']",
        "x = globals()",
        "x = eval('a')",
        "import sys\nx = sys.modules[__name__]",
        "def __getattr__(name): pass",
        "x = cast('a', 1)",
        "x = vars()",
        "x = vars(*())",
        "look = dir",
        "x = cast(' a | None', 1)",
    ],
)
def test_names_that_stay_as_they_are(rest: str) -> None:
    assert lazy_names(f"from lazy_one import a\n{rest}\n") == []
    assert lazy_names("from lazy_one import a\n") == ["a"]


@pytest.mark.parametrize(
    "rest",
    [
        "x = print('a is no expression here')",
        "x = vars(object)",
        "def f(thing): return dir(thing)",
    ],
)
def test_names_that_may_be_lazy_nevertheless(rest: str) -> None:
    assert lazy_names(f"from lazy_one import a\n{rest}\n") == ["a"]


def test_statements_that_stay_as_they_are() -> None:
    assert lazy_names("from __future__ import annotations\nfrom x import *\n") == []
    assert lazy_names("try:\n    import x\nexcept ImportError:\n    x = 1\n") == []
    assert lazy_names("if True:\n    import x\n") == []
    assert lazy_names("import x.y, z as q\nfrom . import w\n") == ["x", "q", "w"]


def test_from_outside_nothing_is_missing(modules: dict[str, ModuleType]) -> None:
    source = "from lazy_one import a, b\nimport lazy_two as two\ndef f(): return a\n"
    for look in (
        lambda module: module.a,
        lambda module: getattr(module, "b"),  # noqa: B009
        lambda module: sorted(n for n in vars(module) if not n.startswith("_")),
        lambda module: sorted(n for n in dir(module) if not n.startswith("_")),
        lambda module: module.two.a,
        lambda module: module.f(),
        lambda module: hasattr(module, "nothing"),
        lambda module: ModuleType.__repr__(module),
    ):
        assert look(execute(source, lazily=True)) == look(execute(source, lazily=False))
    module = execute(source, lazily=True)
    with pytest.raises(AttributeError, match=r"^module 'tried' has no attribute 'nothing'$"):
        module.nothing  # noqa: B018
    assert type(module) is lazy.LazyModule
    assert vars(module)["a"] is modules["lazy_one"].a and type(module) is ModuleType


def test_what_is_set_from_outside_stays(modules: dict[str, ModuleType]) -> None:
    module = execute("from lazy_one import a\ndef f(): return a\n", lazily=True)
    module.a = "set"  # type: ignore[attr-defined]
    assert module.f() == "set"
    assert module.a == "set"


def test_lines_and_columns_stay(modules: dict[str, ModuleType]) -> None:
    source = "from lazy_one import a\n\ndef f():\n    return a.missing\n"
    frames = []
    for lazily in (True, False):
        module = execute(source, lazily=lazily)
        with pytest.raises(AttributeError) as raised:
            module.f()
        assert raised.tb is not None
        positions = list(raised.tb.tb_next.tb_frame.f_code.co_positions())  # type: ignore[union-attr]
        last = raised.tb.tb_next
        assert last is not None
        frames.append((last.tb_lineno, positions[last.tb_lasti // 2]))
    assert frames[0] == frames[1]


def test_threads_find_the_same(modules: dict[str, ModuleType]) -> None:
    source = "from lazy_one import a\ndef f(): return a\n"
    for _ in range(50):
        module = execute(source, lazily=True)
        start = threading.Barrier(4)
        found: list[object] = []

        def call(module: ModuleType, start: threading.Barrier, found: list[object]) -> None:
            start.wait(10)
            found.append(module.f())

        arguments = (module, start, found)
        threads = [threading.Thread(target=call, args=arguments) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == [modules["lazy_one"].a] * 4


NAMES = st.sampled_from(["a", "b", "c", "one"])
IMPORTS = st.sampled_from(
    [
        "from lazy_one import a",
        "from lazy_one import a, b",
        "from lazy_one import a as b, b as c",
        "import lazy_one as one, lazy_two as c",
        "from lazy_two import b",
    ]
)
EXPRESSIONS = st.recursive(
    st.one_of(NAMES, NAMES.map(lambda name: f"f'{{{name}}}'")),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]}, {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} or {two[1]})"),
        inner.map(lambda one: f"[x for x in [{one}]]"),
        inner.map(lambda one: f"(lambda: {one})()"),
        inner.map(lambda one: f"str({one})"),
        st.tuples(NAMES, inner).map(lambda two: f"[{two[1]} for {two[0]} in [1]]"),
        st.tuples(NAMES, inner).map(lambda two: f"(lambda {two[0]}: {two[1]})(2)"),
    ),
    max_leaves=5,
)
STATEMENTS = st.one_of(
    IMPORTS,
    st.tuples(NAMES, EXPRESSIONS).map(lambda two: f"{two[0]} = {two[1]}"),
    st.tuples(st.integers(0, 3), EXPRESSIONS).map(lambda two: f"x{two[0]} = {two[1]}"),
    st.tuples(st.integers(0, 3), EXPRESSIONS).map(lambda two: f"def f{two[0]}(): return {two[1]}"),
    st.tuples(NAMES, EXPRESSIONS).map(lambda two: f"class K:\n    {two[0]} = {two[1]}"),
    st.tuples(NAMES, EXPRESSIONS).map(
        lambda two: f"def g():\n    global {two[0]}\n    {two[0]} = {two[1]}\ng()"
    ),
    NAMES.map(lambda name: f"def h({name}=1): return {name}\nx = h({name})"),
    NAMES.map(lambda name: f"try:\n    1 / 0\nexcept ZeroDivisionError as {name}:\n    pass"),
)


def observe(source: str, *, lazily: bool) -> object:
    """All that can be seen of the module: its names, what its functions return, its error."""
    try:
        module = execute(source, lazily=lazily)
    except Exception as error:
        # Which name it is that is not there yet is not told the same way.
        return type(error)
    shown = {}
    for name, value in sorted(vars(module).items()):
        if name.startswith("_"):
            continue
        if callable(value) and name[:1] == "f":
            try:
                shown[name] = repr(value())
            except Exception as error:
                shown[name] = type(error).__name__
        elif isinstance(value, type):
            shown[name] = repr({k: v for k, v in vars(value).items() if k[:1] != "_"})
        elif not callable(value):
            shown[name] = repr(value)
    return shown


@given(st.lists(STATEMENTS, max_size=7).map("\n".join))
@settings(max_examples=300, deadline=None)
def test_any_module_does_the_same(source: str) -> None:
    made = {name: ModuleType(name) for name in ("lazy_one", "lazy_two")}
    for number, module in enumerate(made.values()):
        vars(module).update(a=[number, "a"], b=[number, "b"])
    sys.modules.update(made)
    try:
        ast.parse(source)
        assert observe(source, lazily=True) == observe(source, lazily=False)
    finally:
        for name in made:
            del sys.modules[name]
