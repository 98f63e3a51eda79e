"""Packs: what is served from them, when they are not used, and that nobody can tell."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from support import packs
from support.paths import ROOT
from support.process import BOOTSTRAP, run_function

ANSWER = [[True, 2, 1], "helper", "sub", "one"]
COMMAND = [sys.executable, "-S", str(BOOTSTRAP)]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed function; copied before it is changed."""
    task = packs.write_function(tmp_path_factory.mktemp("pack") / "task")
    packs.pack(task, "--handler", "app.handler", "--in-place")
    return task


@pytest.fixture
def task(packed: Path, tmp_path: Path) -> Path:
    return packs.copy(packed, tmp_path / "task")


def run_code(task: Path, code: str, **more: object) -> object:
    """What this body of a handler returns in the packed function."""
    lines = textwrap.indent(textwrap.dedent(code), "    ")
    (task / "probe.py").write_text(f"import app, sys\ndef handler(event, context):\n{lines}")
    outcome = packs.run(task, handler="probe.handler", **more)
    assert "is not used" not in outcome.stdout, outcome.stdout
    return outcome.answer


def warnings_of(outcome: object) -> list[str]:
    text: str = outcome.stdout  # type: ignore[attr-defined]
    return [line for line in text.splitlines() if "[WARN]" in line]


def test_a_packed_function_answers_as_ever(packed: Path) -> None:
    outcome = packs.run(packed)
    assert outcome.answer == ANSWER
    assert outcome.stdout == ""


def test_modules_of_distributions_come_out_of_the_pack(task: Path) -> None:
    (task / "acme" / "core.py").unlink()
    for cache in task.rglob("__pycache__"):
        subprocess.run(["rm", "-r", cache], check=True)
    assert packs.run(task).answer == ANSWER


def test_an_edit_of_an_own_module_counts_at_once(task: Path) -> None:
    (task / "helper.py").write_text("NAME = 'edited'\n")
    assert packs.run(task).answer == [ANSWER[0], "edited", *ANSWER[2:]]
    (task / "helper" / "__init__.py").parent.mkdir()
    (task / "helper" / "__init__.py").write_text("NAME = 'package'\n")
    assert packs.run(task).answer == [ANSWER[0], "package", *ANSWER[2:]]


def test_a_file_of_a_distribution_that_was_patched_before_counts_as_own(tmp_path: Path) -> None:
    task = packs.write_function(tmp_path / "task")
    core = task / "acme" / "core.py"
    core.write_text(core.read_text() + "PATCHED = 1\n")
    packs.pack(task, "--handler", "app.handler", "--in-place")
    core.write_text(core.read_text().replace("PATCHED = 1", "PATCHED = 2"))
    assert run_code(task, "return app.acme.core.PATCHED") == 2


def test_another_version_of_a_distribution(task: Path) -> None:
    (task / "acme-1.0.dist-info").rename(task / "acme-1.1.dist-info")
    outcome = packs.run(task)
    assert outcome.answer == ANSWER
    (line,) = warnings_of(outcome)
    assert "acme-1.0 is not installed any more" in line


def test_a_pack_for_another_python(task: Path) -> None:
    path = packs.pack_file(task)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"byte-code ", b"byte-code 9", 1))
    outcome = packs.run(task)
    assert outcome.answer == ANSWER
    (line,) = warnings_of(outcome)
    assert "it was made for" in line and "and this is" in line
    path.rename(path.with_name("cpython-399-x86_64.pack"))
    outcome = packs.run(task)
    assert outcome.answer == ANSWER
    (line,) = warnings_of(outcome)
    assert "there is none for this Python" in line and "cpython-399" in line


def test_an_optimised_interpreter_needs_its_own_pack(task: Path) -> None:
    outcome = packs.run(task, environment={"PYTHONOPTIMIZE": "1"})
    assert outcome.answer == ANSWER
    (line,) = warnings_of(outcome)
    assert "optimisation level 0" in line and "optimisation level 1" in line


def test_packs_can_be_turned_off(task: Path) -> None:
    packs.pack_file(task).write_bytes(b"no pack at all")
    outcome = packs.run(task, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert outcome.answer == ANSWER
    assert outcome.stdout == ""
    outcome = packs.run(task)
    assert outcome.answer == ANSWER
    assert len(warnings_of(outcome)) == 1


def test_another_standard_library_is_left_to_itself(task: Path) -> None:
    # A bug-fix release has another sys.version and the same magic number.
    (task / "sitecustomize.py").write_text("")
    path = packs.pack_file(task)
    script = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(ROOT / "runtime")!r})
        from marshal import dumps, loads
        from lambda_runtime.pack import format
        data = open({str(path)!r}, "rb").read()
        key, file_size, init_size, (at, size, _) = format.parse_head(data)
        index = loads(data[at : at + size])
        version, stdlib = index["stdlib"]
        index["stdlib"] = (version.replace(version[:6], "3.99.9"), stdlib)
        changed = dumps(index)
        assert len(changed) == size
        head = format.write_head(key, file_size, init_size, changed)
        open({str(path)!r}, "wb").write(head + changed + data[at + size :])
        """
    )
    subprocess.run([sys.executable, "-I", "-c", script], check=True, timeout=60)
    outcome = packs.run(task)
    assert outcome.answer == ANSWER
    assert outcome.stdout == ""


def test_cut_packs(task: Path) -> None:
    path = packs.pack_file(task)
    data = path.read_bytes()
    for size in (0, 1, 127, 128, 5000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        outcome = packs.run(task)
        assert outcome.answer == ANSWER
        assert len(warnings_of(outcome)) == 1, size


def test_flipped_packs(task: Path) -> None:
    """No flipped bit is ever unmarshalled; tried in one process, as often as time allows."""
    script = textwrap.dedent(
        f"""
        import random, sys
        sys.path.insert(0, {str(ROOT / "runtime")!r})
        from lambda_runtime.pack import format, load
        path, other = {str(packs.pack_file(task))!r}, {str(task / "flipped")!r}
        data = bytearray(open(path, "rb").read())
        names = ["lambda-pack", "acme-1.0.dist-info"]
        sections = load._open({str(task)!r}, names, path)._sections
        random.seed(13)
        places = [*range(format.HEAD), *(random.randrange(len(data)) for _ in range(600))]
        for place in places:
            bit = 1 << random.randrange(8)
            data[place] ^= bit
            with open(other, "wb") as file:
                file.write(data)
            try:
                finder = load._open({str(task)!r}, names, other)
            except (ValueError, OSError, OverflowError):
                finder = None
            if finder is not None and place >= format.HEAD:
                assert finder._sections == sections
                hit = [at <= place < at + size for at, size, _ in sections]
                for number, section in enumerate(sections):
                    try:
                        format.read_section(other, section, bytes)
                    except ValueError:
                        assert hit[number]
                    else:
                        assert not hit[number]
            data[place] ^= bit
        print("all", len(places))
        """
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("all"), done.stderr


def test_a_flipped_bit_costs_one_line_and_nothing_else(task: Path) -> None:
    path = packs.pack_file(task)
    data = path.read_bytes()
    random.seed(7)
    for _ in range(8):
        flipped = bytearray(data)
        flipped[random.randrange(128, len(data))] ^= 1 << random.randrange(8)
        path.write_bytes(flipped)
        outcome = packs.run(task)
        assert outcome.answer == ANSWER
        assert len(warnings_of(outcome)) <= 1


def test_a_module_that_comes_first_on_the_path_wins(task: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    packs.write_files(first, {"helper.py": "NAME = 'first'\n", "acme.py": "OTHER = 1\n"})
    (task / "front.py").write_text(
        f"import sys\nsys.path.insert(0, {str(first)!r})\nimport helper, acme\n"
        "def handler(e, c): return [helper.NAME, acme.__file__]\n"
    )
    outcome = packs.run(task, handler="front.handler")
    assert outcome.answer == ["first", str(first / "acme.py")]


def test_a_module_of_the_function_hides_one_of_the_standard_library(task: Path) -> None:
    (task / "json.py").write_text("NAME = 'mine'\n")
    outcome = packs.run(task)
    assert outcome.answer == ANSWER
    assert run_code(task, "import json; return json.NAME") == "mine"


def test_a_module_written_while_the_function_runs(task: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.mkdir()
    (task / "writer.py").write_text(
        f"import sys\nsys.path.insert(0, {str(later)!r})\n"
        "import app\n"
        "del sys.modules['helper']\n"
        f"open({str(later / 'helper.py')!r}, 'w').write('NAME = 9')\n"
        "import importlib; importlib.invalidate_caches()\n"
        "import helper\n"
        "def handler(e, c): return helper.NAME\n"
    )
    assert packs.run(task, handler="writer.handler").answer == 9


def test_a_path_of_a_package_that_changed(task: Path, tmp_path: Path) -> None:
    packs.write_files(tmp_path / "more", {"sub.py": "NAME = 'more'\n"})
    (task / "ownpkg" / "__init__.py").write_text(f"__path__.insert(0, {str(tmp_path / 'more')!r})")
    assert packs.run(task).answer == [*ANSWER[:2], "more", "one"]


def test_what_a_module_shows_of_itself(task: Path, tmp_path: Path) -> None:
    code = """
        out = []
        for name in ("app", "acme", "acme.core", "helper", "ownpkg", "space.one", "acme._lsprof",
                     "json", "json.decoder", "dataclasses"):
            m = sys.modules[name]
            s = m.__spec__
            out.append([
                name, m.__file__, getattr(m, "__cached__", None), m.__package__,
                list(getattr(m, "__path__", ["-"])), type(m.__loader__).__name__,
                m.__loader__ is s.loader, s.name, s.origin, s.cached, s.has_location,
                s.submodule_search_locations, s.parent, sorted(vars(s)), sorted(vars(s.loader)),
                repr(m), sorted(set(vars(m)) - {"__builtins__"}),
            ])
        return out
    """
    shown = run_code(task, code)
    plain = run_code(task, code, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert shown == plain


def test_tracebacks_and_sources(task: Path) -> None:
    code = """
        import inspect, linecache, traceback
        try:
            app.acme.core.fail()
        except ValueError:
            lines = traceback.format_exc()
        return [lines, inspect.getsource(app.acme.core.fail), inspect.getsource(app.helper),
                inspect.getsourcefile(app.acme.core), app.acme.core.fail.__code__.co_filename]
    """
    shown = run_code(task, code)
    assert shown == run_code(task, code, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert isinstance(shown, list)
    assert f'{task}/acme/core.py", line 11' in shown[0]
    assert "raise ValueError('from acme')" in shown[0]


def test_resources_metadata_and_pkgutil(task: Path) -> None:
    code = """
        import importlib.metadata, importlib.resources, pkgutil
        names = [entry.value for entry in importlib.metadata.entry_points(group="acme.plugins")]
        return [
            importlib.metadata.version("acme"), names,
            importlib.resources.files("acme").joinpath("data.txt").read_text(),
            importlib.resources.files("ownpkg").joinpath("text.txt").read_text(),
            pkgutil.get_data("acme", "data.txt").decode(),
            sorted(m.name for m in pkgutil.iter_modules(app.acme.__path__)),
            sorted(m.name for m in pkgutil.walk_packages(app.ownpkg.__path__, "ownpkg.")),
        ]
    """
    shown = run_code(task, code)
    assert shown == run_code(task, code, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert isinstance(shown, list)
    assert shown[:5] == ["1.0", ["acme.core:answer"], "data", "a resource", "data"]


def test_reload_reads_the_file_as_it_is_now(task: Path) -> None:
    code = """
        import importlib, os
        with open(app.helper.__file__, "w") as file:
            file.write("NAME = 'again'")
        return [importlib.reload(app.helper).NAME, importlib.reload(app.acme.core).Item("a").name]
    """
    assert run_code(task, code) == ["again", "a"]


def test_pickles_and_specs_can_be_copied(task: Path) -> None:
    code = """
        import copy, importlib.util, pickle
        item = pickle.loads(pickle.dumps(app.acme.core.Item("b", 3)))
        spec = importlib.util.find_spec("acme.core")
        fresh = copy.copy(app.helper.__spec__)
        return [item.count, spec is app.acme.core.__spec__, fresh == app.helper.__spec__,
                pickle.loads(pickle.dumps(app.helper.__loader__)) == app.helper.__loader__]
    """
    assert run_code(task, code) == [3, True, True, True]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(task: Path, method: str) -> None:
    (task / "work.py").write_text(
        "import multiprocessing, acme.core, helper\n"
        "def double(queue): queue.put([acme.core.Item('x', 2).count * 2, helper.NAME])\n"
        "def handler(e, c):\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    queue = context.Queue()\n"
        "    process = context.Process(target=double, args=(queue,))\n"
        "    process.start()\n"
        "    answer = queue.get(timeout=30)\n"
        "    process.join(30)\n"
        "    return answer\n"
    )
    # Where Lambda has no /dev/shm the queue cannot be made, packed or not; here it is there.
    assert packs.run(task, handler="work.handler").answer == [4, "helper"]


def test_finders_that_come_first_are_asked_first(task: Path) -> None:
    (task / "hooks.py").write_text(
        "import sys\nASKED = []\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        ASKED.append(name)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import app\n"
        "def handler(e, c):\n"
        "    return [[n for n in ASKED if n.startswith(('acme', 'helper', 'ownpkg', 'space'))],\n"
        "        [getattr(f, '__name__', type(f).__name__) for f in sys.meta_path]]\n"
    )
    answer = packs.run(task, handler="hooks.handler").answer
    assert isinstance(answer, list)
    assert answer[0] == [
        "acme", "acme.core", "helper", "ownpkg", "ownpkg.sub", "space", "space.one",
        f"acme.{packs.EXTENSION}",
    ]  # fmt: skip
    names = answer[1]
    assert names.index("PackFinder") == names.index("PathFinder") - 1
    assert names[0] == "Finder"


def test_the_stack_under_an_import_is_the_same(tmp_path: Path) -> None:
    task = packs.write_function(tmp_path / "task")
    (task / "deep.py").write_text(
        "import sys, warnings\n"
        "FRAMES = []\nframe = sys._getframe()\n"
        "while frame: FRAMES.append((frame.f_code.co_name, frame.f_code.co_filename[-30:],\n"
        "    getattr(frame.f_code, 'co_qualname', ''))); frame = frame.f_back\n"
        "warnings.warn('from deep', stacklevel=2)\n"
    )
    (task / "app.py").write_text(
        "import warnings\nwith warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    import deep, acme.core\n"
        "def handler(e, c): return [deep.FRAMES, seen[0].filename, seen[0].lineno]\n"
    )
    plain = packs.run(task).answer
    packs.pack(task, "--handler", "app.handler", "--in-place")
    outcome = packs.run(task)
    assert outcome.answer == plain
    assert isinstance(plain, list)
    assert plain[1:] == [str(task / "app.py"), 4]


def test_errors_of_imports_show_the_same_frames(task: Path) -> None:
    (task / "helper.py").write_text("NAME = (\n")
    broken = packs.run(task)
    assert broken.paths == ["init/error"]
    plain = packs.run(task, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert broken.answer == plain.answer
    times = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
    assert re.sub(times, "", broken.stdout) == re.sub(times, "", plain.stdout)


def test_debuggers_and_coverage_see_the_lines(task: Path) -> None:
    (task / "traced.py").write_text(
        "import sys, threading\nLINES = set()\n"
        "def trace(frame, event, arg):\n"
        "    if event == 'line' and 'acme' in frame.f_code.co_filename:\n"
        "        LINES.add((frame.f_code.co_filename, frame.f_lineno))\n"
        "    return trace\n"
        "sys.settrace(trace)\nimport app\nsys.settrace(None)\n"
        "def handler(e, c): return sorted(LINES)\n"
    )
    shown = packs.run(task, handler="traced.handler").answer
    assert shown
    plain = packs.run(
        task, handler="traced.handler", environment={"LAMBDA_RUNTIME_PACK": "0"}
    ).answer
    assert shown == plain


def test_runpy_and_find_spec_before_the_import(task: Path) -> None:
    (task / "asks.py").write_text(
        "import importlib.util, runpy, sys\n"
        "found = importlib.util.find_spec('helper')\n"
        "again = importlib.util.find_spec('helper')\n"
        "assert found.loader.get_code('helper') is not None\n"
        "values = runpy.run_module('helper')\n"
        "import app\n"
        "def handler(e, c): return [values['NAME'], app.helper.NAME, found == again]\n"
    )
    assert packs.run(task, handler="asks.handler").answer == ["helper", "helper", True]


def test_a_pth_file_and_pythonpath(task: Path, tmp_path: Path) -> None:
    packs.write_files(tmp_path / "pth", {"from_pth.py": "NAME = 'pth'\n"})
    packs.write_files(
        tmp_path / "env", {"from_env.py": "NAME = 'env'\n", "helper.py": "NAME = 0\n"}
    )
    (task / "more.pth").write_text(f"{tmp_path / 'pth'}\nimport sys; sys.marked = True\n")
    code = """
        import from_pth, from_env
        return [from_pth.NAME, from_env.NAME, app.helper.NAME, sys.marked]
    """
    answer = run_code(task, code, environment={"PYTHONPATH": str(tmp_path / "env")})
    assert answer == ["pth", "env", "helper", True]


def test_packs_of_several_entries_are_merged_in_the_order_of_the_path(tmp_path: Path) -> None:
    layer, task = tmp_path / "layer", tmp_path / "task"
    both = {"both/__init__.py": "NAME = 'layer'\n", "both/one.py": "", "only.py": "NAME = 'only'\n"}
    packs.write_files(layer, both)
    packs.install_distribution(layer, "acme", "1.0", packs.ACME)
    packs.write_files(task, {"both/__init__.py": "NAME = 'task'\n"})
    (task / "app.py").write_text(
        "import both, only, acme.core\n"
        "def handler(e, c): return [both.NAME, only.NAME, acme.core.answer(), acme.__file__]\n"
    )
    imports = ["--import", "both", "--import", "only", "--import", "acme.core"]
    packs.pack(layer, *imports, "--in-place")
    path = {"PYTHONPATH": str(layer)}
    packs.pack(task, "--handler", "app.handler", "--in-place", "--env", f"PYTHONPATH={layer}")
    (layer / "acme" / "core.py").unlink()
    outcome = packs.run(task, environment=path)
    assert outcome.answer == ["task", "only", [True, 2, 1], str(layer / "acme" / "__init__.py")]
    assert outcome.stdout == ""


def test_layers_that_lambda_merges_into_one_folder(tmp_path: Path) -> None:
    """Each layer has a pack of its own, and a newer distribution lies over an older one."""
    merged, task = tmp_path / "opt" / "python", tmp_path / "task"
    code = "def handler(e, c): return [acme.core.answer(), one.NAME, two.NAME]\n"
    packs.write_files(task, {"app.py": f"import acme.core, one, two\n{code}"})
    layers = [tmp_path / "first", tmp_path / "second"]
    packs.install_distribution(layers[0], "acme", "1.0", packs.ACME)
    packs.install_distribution(
        layers[0], "one", "1.0", {"one.py": "NAME = 'one'\n"}, compiled=False
    )
    packs.install_distribution(
        layers[1], "two", "1.0", {"two.py": "NAME = 'two'\n"}, compiled=False
    )
    packs.pack(layers[0], "--import", "acme.core", "--import", "one", "--in-place")
    packs.write_files(layers[1], {f"more{n}.py": "" for n in range(5)})
    more = [part for n in range(5) for part in ("--import", f"more{n}")]
    packs.pack(layers[1], "--import", "two", *more, "--in-place")
    for layer in layers:
        shutil.copytree(layer, merged, dirs_exist_ok=True)
    names = sorted(path.name.split(".", 1)[1] for path in (merged / "lambda-pack").iterdir())
    assert names == ["acme.core.pack", "two.pack"]
    path = {"PYTHONPATH": str(merged)}
    for file in ("one.py", "two.py"):
        packs.leave_to_the_pack(merged, file)
    outcome = packs.run(task, environment=path)
    assert outcome.answer == [[True, 2, 1], "one", "two"] and outcome.stdout == ""
    # A third layer has another acme: its files are the ones that count.
    newer = {"acme/core.py": "def answer(): return 'newer'\n", "acme/__init__.py": ""}
    packs.install_distribution(merged, "acme", "1.1", newer, compiled=False)
    (merged / "one.py").write_text("NAME = 'one'\n")
    outcome = packs.run(task, environment=path)
    assert outcome.answer == ["newer", "one", "two"]
    (warning,) = warnings_of(outcome)
    assert "acme-1.1 was installed over it" in warning


START = """
import sys
{}
file = {!r}
exec(compile(open(file).read(), file, "exec"), {{"__name__": "__main__", "__file__": file}})
"""


@pytest.mark.parametrize(
    "broken",
    [
        "import types; sys.modules['_imp'] = types.ModuleType('_imp')",
        "import importlib.util; sys.modules['_frozen_importlib'] = None\n"
        "sys.modules['_frozen_importlib_external'] = None",
        "del sys._stdlib_dir",
    ],
)
def test_an_interpreter_whose_private_parts_have_changed(packed: Path, broken: str) -> None:
    command = [sys.executable, "-S", "-c", START.format(broken, str(BOOTSTRAP))]
    outcome = packs.run(packed, command=command)
    assert outcome.answer == ANSWER
    assert len(warnings_of(outcome)) == 1


WATCH = """
import sys
SEEN = []
def hook(event, arguments):
    if event in ("os.putenv", "os.unsetenv") and b"OPENBLAS" in arguments[0]:
        SEEN.append([event, *(value.decode() for value in arguments)])
    elif event == "import" and arguments[1] and {name!r} in arguments[1]:
        SEEN.append(["import"])
sys.addaudithook(hook)
import acme.{name}, os, subprocess
def handler(event, context):
    loader = type(acme.{name}.__loader__).__name__
    child = subprocess.run(["env"], capture_output=True, text=True).stdout
    return [SEEN, loader, os.environ.get({spin!r}), {spin!r} in child]
"""
SPIN = "OPENBLAS_THREAD_TIMEOUT"


def test_threads_of_openblas_do_not_spin_when_it_is_loaded(tmp_path: Path) -> None:
    task = packs.write_function(tmp_path / "task")
    (library,) = task.glob(f"acme/{packs.EXTENSION}*.so")
    with open(library, "ab") as file:
        file.write(b"\0libscipy_openblas64_-4b78795a.so\0")  # as in the list of needed libraries
    (task / "app.py").write_text(WATCH.format(name=packs.EXTENSION, spin=SPIN))
    packs.pack(task, "--handler", "app.handler", "--in-place")
    loader = "ExtensionFileLoader"
    seen = [["os.putenv", SPIN, "20"], ["import"], ["os.unsetenv", SPIN]]
    assert packs.run(task).answer == [seen, loader, None, False]
    own = packs.run(task, environment={SPIN: "9"})
    assert own.answer == [[["import"]], loader, "9", True]
    unpacked = packs.run(task, environment={"LAMBDA_RUNTIME_PACK": "0"})
    assert unpacked.answer == [[["import"]], loader, None, False]


def test_an_audit_hook_that_forbids_variables_forbids_no_import(tmp_path: Path) -> None:
    task = packs.write_function(tmp_path / "task")
    (library,) = task.glob(f"acme/{packs.EXTENSION}*.so")
    with open(library, "ab") as file:
        file.write(b"\0libopenblas.so.0\0")
    packs.pack(task, "--handler", "app.handler", "--in-place")
    (task / "strict.py").write_text(
        "import sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'os.putenv': raise PermissionError('no')\n"
        "sys.addaudithook(hook)\n"
        "from app import handler\n"
    )
    outcome = packs.run(task, handler="strict.handler", environment={"AWS_REGION": "eu-west-1"})
    assert outcome.answer == ANSWER


def test_without_a_pack_nothing_of_it_is_loaded() -> None:
    code = "import sys\ndef handler(e, c): return [n for n in sys.modules if '.pack' in n]"
    assert run_function(code).answer == []
