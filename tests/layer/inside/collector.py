"""Asks the collector what it leaves out after a start of the layer's interpreter. Prints `well`."""

import sys

LOADED = tuple(sys.modules)  # before this file imports anything

import encodings  # noqa: E402
import gc  # noqa: E402
import importlib.machinery  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import weakref  # noqa: E402
from collections.abc import Iterator  # noqa: E402

#: Each object tells its name when it is finalised. `open` has lines that only its end writes.
FINALIZERS = """
import builtins, codecs, encodings, importlib.machinery, os, posix, sys, time, weakref, zipimport

class Told:
    def __init__(self, name):
        self.name = name
    def __del__(self, write=os.write):
        write(1, self.name.encode() + b"\\n")

plain = Told("global")
cycle = Told("cycle")
cycle.itself = cycle
file = open(1, "w", closefd=False)
file.write("file\\n")
for owner in (builtins, codecs, encodings, posix, sys, time, zipimport, sys.implementation):
    owner.told = Told(getattr(owner, "__name__", "namespace"))
sys.modules["told"] = Told("modules")
sys.path_hooks.append(Told("hooks"))
posix.times = lambda: plain
for owner in (importlib.machinery.PathFinder, codecs.Codec, zipimport.zipimporter):
    owner.told = Told(owner.__name__)
weakref.finalize(importlib.machinery.PathFinder, print, "finalize", flush=True)
"""
TOLD = "global cycle file builtins codecs encodings posix sys time zipimport namespace modules"
TOLD += " hooks PathFinder Codec zipimporter finalize"


#: The classes left out to which user code can add, besides those of importlib's core: results, two
#: exceptions, and two of `os.scandir`.
CHANGEABLE = {
    *("stat_result", "statvfs_result", "terminal_size", "times_result", "uname_result"),
    *("waitid_result", "sched_param", "struct_time", "_ExceptHookArgs"),
    *("ExceptionGroup", "UnsupportedOperation", "NotShareableError"),
    *("DirEntry", "ScandirIterator", "Generic"),
}


class Object:
    """An object that only a collection ends."""

    def __init__(self) -> None:
        self.itself = self


def main() -> None:
    assert "gc" not in LOADED
    the_interpreters_own_is_left_out()
    what_users_can_change_of_it()
    user_code_is_collected()
    everything_is_finalised_at_the_end()
    a_fork_has_the_same()
    a_subinterpreter_leaves_out_nothing()
    unfreeze_brings_it_back()
    print("well")


def has(one: object) -> bool:
    return any(each is one for each in gc.get_objects())


def the_interpreters_own_is_left_out() -> None:
    assert gc.get_freeze_count() > 1000
    for each in (sys, os.stat, importlib.machinery.BuiltinImporter):
        assert not has(each), each
        assert gc.is_tracked(each)
    assert sys.modules not in gc.get_referrers(gc)
    assert has(encodings)
    assert has(importlib.machinery.PathFinder)


def what_users_can_change_of_it() -> None:
    collected = {id(each) for each in gc.get_objects()}
    left_out = [each for each in classes(object) if id(each) not in collected]
    assert len(left_out) > 100
    names = {each.__name__ for each in left_out if can_change(each)}
    core = {each.__name__ for each in left_out if each.__module__ == "_frozen_importlib"}
    assert {"BuiltinImporter", "FrozenImporter", "ModuleSpec"} <= core <= names
    assert names - core <= CHANGEABLE, names - core - CHANGEABLE


def can_change(one: type) -> bool:
    try:
        type.__setattr__(one, "told", None)
        type.__delattr__(one, "told")
    except TypeError:
        return False
    return True


def classes(base: type) -> Iterator[type]:
    yield base
    below: list[type] = type.__subclasses__(base)
    for each in below:
        yield from classes(each)


def user_code_is_collected() -> None:
    assert has(sys.modules["__main__"].__dict__)
    assert has(Object)
    told = weakref.ref(Object())
    phases: list[str] = []
    gc.callbacks.append(lambda phase, info: phases.append(phase))
    assert gc.collect() >= 1
    gc.callbacks.clear()
    assert phases == ["start", "stop"]
    assert told() is None


def everything_is_finalised_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", FINALIZERS], capture_output=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    told = done.stdout.decode().split()
    assert sorted(told) == sorted(TOLD.split()), told


def a_fork_has_the_same() -> None:
    before = gc.get_freeze_count()
    child = os.fork()
    if not child:
        gc.collect()
        os._exit(0 if gc.get_freeze_count() == before and not has(sys) else 1)
    assert os.waitpid(child, 0)[1] == 0


def a_subinterpreter_leaves_out_nothing() -> None:
    interpreters = importlib.import_module("_interpreters")
    inside = interpreters.create()
    code = "import gc\nassert gc.get_freeze_count() == 0"
    assert interpreters.run_string(inside, code) is None
    interpreters.destroy(inside)


def unfreeze_brings_it_back() -> None:
    gc.unfreeze()
    assert gc.get_freeze_count() == 0
    assert has(sys)
    assert sys.modules in gc.get_referrers(gc)
    gc.collect()
    assert importlib.import_module("string").digits == "0123456789"


if __name__ == "__main__":
    main()
