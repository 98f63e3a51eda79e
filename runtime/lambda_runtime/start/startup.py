"""Makes the interpreter ready for user code, with only the necessary part of ``site``'s work.

With ``-S``, the interpreter does not look for site-packages, ``.pth`` files and ``sitecustomize``.
Half of this work is useless in a function. This module does the part that users rely on, and only
where it finds something to do.
"""

import builtins
import gc
import posix
import sys
import time

from lambda_runtime import logs
from lambda_runtime.ground import settings, trusted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"

# AWS's own layers and the documentation put packages into these two, one inside the other.
_LAYER_PATHS = (f"/opt/python/lib/{_VERSION}/site-packages", "/opt/python")

# On `sys.path` for the interpreter alone: its compiled modules, and a file that does not exist.
_INTERPRETERS_OWN = ("/lib-dynload", f"/{_VERSION.replace('.', '')}.zip")

_WRAPPED = "_LAMBDA_RUNTIME_WRAPPED"


def exec_wrapper(script: str) -> None:
    """Become the wrapper script that the function's configuration names, if it names one.

    The wrapper gets the interpreter and the bootstrap as its arguments, as on AWS's runtimes, and
    must exec them. On that second start this function does nothing. Source: "Using wrapper scripts"
    in the AWS Lambda Developer Guide.
    """
    wrapper = settings.get("AWS_LAMBDA_EXEC_WRAPPER")
    if settings.remove(_WRAPPED) or not wrapper or wrapper == script:
        return  # wrapper == script: on AWS's own Pythons this runtime itself is the wrapper
    settings.put(_WRAPPED, "1")
    try:
        posix.execv(wrapper, [wrapper, sys.executable, script, *sys.argv[1:]])
    except OSError as error:
        stop(f"AWS_LAMBDA_EXEC_WRAPPER={wrapper}: cannot be executed: {error.strerror}", 1)


def exec_emulator(script: str) -> None:
    """Without a Runtime API, become the Runtime Interface Emulator, if it is on PATH."""
    handler = settings.get("_HANDLER") or "".join(sys.argv[1:2])
    if not handler:
        stop("no handler: give it as module.function, as the argument or in _HANDLER", 2)
    for folder in (settings.get("PATH") or "").split(":"):
        emulator = f"{folder or '.'}/aws-lambda-rie"
        if posix.access(emulator, posix.X_OK):
            posix.execv(emulator, [emulator, *_command(script), handler])
    stop(
        "AWS_LAMBDA_RUNTIME_API is not set, so there is no Lambda to run under; to try a function "
        "on this machine, put aws-lambda-rie (the Runtime Interface Emulator) on PATH",
        2,
    )


def _command(script: str) -> list[str]:
    no_site = ["-S"] if sys.flags.no_site else []
    return [sys.executable, *no_site, script]


def stop(message: str, status: int) -> None:
    """Print a message to standard error, and end the process."""
    logs.say(f"lambda-runtime: {message}\n")
    sys.exit(status)


def set_environment(home: str) -> None:
    """Set the variables that AWS's runtimes set, if the platform or an emulator has not."""
    task_root = settings.get("LAMBDA_TASK_ROOT")
    if task_root:
        try:
            posix.chdir(task_root)
        except OSError as error:
            stop(f"LAMBDA_TASK_ROOT={task_root}: {error.strerror}", 1)
    for name, value in (
        ("LAMBDA_TASK_ROOT", task_root or posix.getcwd()),
        ("LAMBDA_RUNTIME_DIR", home),
        ("AWS_EXECUTION_ENV", f"AWS_Lambda_{_VERSION}"),
        ("LANG", "en_US.UTF-8"),
    ):
        if not settings.get(name):
            settings.put(name, value)
    if not settings.get("TZ"):
        settings.put("TZ", ":UTC")
        time.tzset()


def set_path(home: str, script_folder: str) -> None:
    """Order ``sys.path``: task root, layers, the interpreter's own entries, site-packages."""
    ours = (home, script_folder, f"{script_folder}/runtime", "")  # a checkout's bootstrap adds them
    own = [entry for entry in sys.path if entry not in ours]
    task_root = settings.get("LAMBDA_TASK_ROOT") or posix.getcwd()
    site_packages = _site_packages() if sys.flags.no_site else []
    sys.path[:] = dict.fromkeys((task_root, *_LAYER_PATHS, *own, *site_packages))
    # Fill the cache ourselves: zipimport would probe every missing folder.
    find_folder = sys.path_hooks[-1]
    found = sys.path_importer_cache
    inner, outer = _LAYER_PATHS
    for entry in (task_root, outer, inner, *site_packages):
        try:
            is_missing = entry == inner and found[outer] is None
            found[entry] = None if is_missing else find_folder(entry)
        except ImportError:
            found[entry] = None


def _site_packages() -> list[str]:
    """The folders that ``site`` would add; a missing folder costs one lookup later."""
    environment = sys.executable.rpartition("/bin/")[0]
    # An interpreter that is its own base has found no such file.
    is_base = getattr(sys, "_base_executable", None) == sys.executable
    if not is_base and environment and posix.access(f"{environment}/pyvenv.cfg", posix.F_OK):
        return [f"{environment}/lib/{_VERSION}/site-packages"]
    if sys.prefix == "/usr":  # Debian and its derivatives
        return [f"/usr/local/lib/{_VERSION}/dist-packages", "/usr/lib/python3/dist-packages"]
    return [f"{sys.prefix}/lib/{_VERSION}/site-packages"]


def customise(home: str) -> None:
    """Run the ``.pth`` files, ``sitecustomize`` and ``usercustomize`` that are on the path."""
    # ``site`` adds these. Its own also close standard input, where nothing comes from on Lambda.
    builtins.exit = builtins.quit = sys.exit  # type: ignore[assignment]
    trusted.is_sound = False
    listings = {entry: _listing(entry) for entry in sys.path}
    if any("lambda-pack" in names for names in listings.values()):
        _install_packs(listings)
    for entry, names in listings.items():
        # In one string the interpreter searches a hundred names in the time that a loop takes for
        # one.
        if ".pth/" in f"{'/'.join(names)}/":
            import site

            site.addsitedir(entry)
    listings |= {entry: _listing(entry) for entry in sys.path if entry not in listings}
    every = "/" + "/".join(["/".join(names) for names in listings.values()])
    for module in ("sitecustomize", "usercustomize"):
        if f"/{module}" in every:
            _import_customisation(module)
    sys.path.append(home)  # last, and only now: a file beside the runtime is no customisation


def _install_packs(listings: "dict[str, Iterable[str]]") -> None:
    try:
        from lambda_runtime.pack import load

        load.install(listings)
    except (ImportError, AttributeError) as error:
        # The interpreter lacks a private part that packs need.
        sys.stdout.write(f"[WARN]\tPacks are not used: this Python has changed: {error}\n")


def _listing(entry: str) -> "Iterable[str]":
    """The names in a folder of ``sys.path``; none if it is not a folder.

    The interpreter's compiled modules and its zip count as none: no customisation is there.
    """
    finder: Any = sys.path_importer_cache.get(entry, ...)
    if finder is None or entry.endswith(_INTERPRETERS_OWN):
        return ()
    if isinstance(getattr(finder, "_path_cache", None), set):
        if not finder._path_cache:
            # This search fills the cache. User imports need it anyway, and it shows all files
            # without another system call.
            finder.find_spec("sitecustomize")
        # An empty folder, or a cache of another kind?
        if finder._path_cache or getattr(finder, "_path_mtime", -1) != -1:
            return finder._path_cache  # type: ignore[no-any-return]
    try:
        return posix.listdir(entry)
    except OSError:
        return ()


def _import_customisation(name: str) -> None:
    try:
        trusted.import_of_users(name)
    except ImportError as error:
        if error.name != name:
            _report_customisation(name, error)
    except Exception as error:
        # As the interpreter does: print the error and go on, as the function may still work.
        _report_customisation(name, error)


def _report_customisation(name: str, error: Exception) -> None:
    sys.stderr.write(f"lambda-runtime: error in {name}: {type(error).__name__}: {error}\n")


class ImportHooks:
    """A finder that lets the runtime act when code imports one of a few modules.

    It is first on ``sys.meta_path``. It configures ``logging`` and ``subprocess`` as soon as they
    are loaded, finds the runtime's own modules in ordinary imports, and provides ``awslambdaric``,
    of which libraries and user code import parts.
    """

    def __init__(self, configure_logging: "Callable[[], None]") -> None:
        self._equip = {"logging": configure_logging, "subprocess": equip_subprocess}

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name in self._equip:
            return self._find_equipped(name, path)
        if name.startswith("lambda_runtime."):
            return trusted.find_own(name)
        if name == "awslambdaric":
            from lambda_runtime.start import compat

            return compat.spec()
        return None

    def _find_equipped(self, name: str, path: "Sequence[str] | None") -> "ModuleSpec | None":
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path)) is not None:
                spec.loader = PostImportLoader(spec.loader, self._equip[name])  # type: ignore[assignment]
                return spec
        return None


class CompatFinder:
    """Provides modules that AWS's own runtime has, unless the function brings its own.

    It is last on ``sys.meta_path``. ``bootstrap`` is ``loop``, and ``snapshot_restore_py`` is
    ``snapstart``.
    """

    def find_spec(
        self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        home = {"bootstrap": "loop", "snapshot_restore_py": "snapstart"}.get(name)
        if home is None:
            return None
        from lambda_runtime.start import compat

        return compat.alias_spec(name, f"lambda_runtime.{home}")


class PostImportLoader:
    """A loader that calls an action after its module was executed, and then removes itself."""

    def __init__(self, loader: "Any", action: "Callable[[], None]") -> None:
        self._loader = loader
        self._action = action

    def create_module(self, spec: "ModuleSpec") -> "ModuleType | None":
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: "ModuleType") -> None:
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._action()


def equip_subprocess() -> None:
    """Let the child processes of ``multiprocessing``, joblib and others load ``site``.

    A function of ``subprocess`` gives them this interpreter's flags. This removes ``-S``, which is
    for the runtime's own start only.
    """
    subprocess = sys.modules["subprocess"]
    tell: Callable[[], list[str]] | None = getattr(subprocess, "_args_from_interpreter_flags", None)
    if tell is None or not sys.flags.no_site:
        return

    def without_site_flag() -> list[str]:
        return [argument for argument in tell() if argument != "-S"]

    subprocess._args_from_interpreter_flags = without_site_flag  # type: ignore[attr-defined]


class PausedCollector:
    """Pauses garbage collection until ``resume``, which then does what user code has asked for.

    Meanwhile ``gc.isenabled`` tells user code what it asked for: on, until it calls ``gc.disable``.
    """

    def __init__(self) -> None:
        self._functions = gc.isenabled, gc.enable, gc.disable
        self._wanted = self._functions[0]()
        self._paused = True
        gc.isenabled, gc.enable, gc.disable = self._is_enabled, self._enable, self._disable
        self._functions[2]()

    def resume(self) -> None:
        """Restore the collector to the state that user code wants."""
        self._paused = False
        gc.isenabled, gc.enable, gc.disable = self._functions
        if self._wanted:
            self._functions[1]()

    # User code may keep these functions for longer than init.

    def _is_enabled(self) -> bool:
        return self._wanted if self._paused else self._functions[0]()

    def _enable(self) -> None:
        self._wanted = True
        if not self._paused:
            self._functions[1]()

    def _disable(self) -> None:
        self._wanted = False
        self._functions[2]()


def hook_imports(configure_logging: "Callable[[], None]") -> None:
    """Configure ``logging`` and ``subprocess``, now or on import; provide awslambdaric's names."""
    if "logging" in sys.modules:
        configure_logging()
    if "subprocess" in sys.modules:
        equip_subprocess()
    trusted.after_load |= {"logging": configure_logging, "subprocess": equip_subprocess}
    hooks: list[Any] = sys.meta_path
    hooks.insert(0, ImportHooks(configure_logging))
    hooks.append(CompatFinder())
