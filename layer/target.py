"""The target of the layers: Lambda's machines, its limits, and the paths of our files there.

Limits and paths: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html and
https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

from dataclasses import dataclass

from layer.errors import UnusableInput

#: Where Lambda unpacks layers.
MOUNT = "/opt"
#: The interpreter's folder in the layer. `/opt/cpython` has the length of `/usr/lib/ssl`, which it
#: replaces inside libcrypto.
CPYTHON = "cpython"
#: The folder of the runtime's package and of orjson. `bootstrap`, beside it, looks for them there.
HOME = "runtime"
#: The managed layer's executable: AWS_LAMBDA_EXEC_WRAPPER=/opt/lambda-runtime.
WRAPPER = "lambda-runtime"

#: The Pythons that ship as layer and image; the first is built when the user names none.
PYTHONS = ("3.13", "3.14", "3.15")
DEFAULT_PYTHON = PYTHONS[0]
#: AWS's managed runtimes that the small layer serves.
MANAGED_PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
#: The Pythons for which the small layer carries orjson. A wheel has 90 kB for each architecture;
#: wheels for all Pythons would exceed the layer's limit. On 1 MB of JSON orjson saves 4 ms of the
#: 6.5 ms that reading takes, and 8 ms of the 9 ms that writing takes.
MANAGED_WITH_ORJSON = ("3.13", "3.14", "3.15")

#: The newest glibc symbol version that `provided.al2023` can serve.
GLIBC = (2, 34)
#: Function and layers together, unzipped, in bytes.
MAX_UNZIPPED = 250 * 1024 * 1024
#: One zip uploaded directly (not through S3), in bytes.
MAX_ZIPPED = 50 * 1024 * 1024


@dataclass(frozen=True)
class Arch:
    """One of Lambda's two architectures, with its names in other systems."""

    name: str
    debian: str
    machine: str
    multiarch: str
    elf: int
    glibc_base: str
    loader: str

    @property
    def wheels(self) -> list[str]:
        """pip's platform tags that run on the target, newest first."""
        return [f"manylinux_2_{minor}_{self.machine}" for minor in (34, 28, 17)] + [
            f"manylinux2014_{self.machine}"
        ]


def digits(python: str) -> str:
    """A Python version without its dot, as in file names and tags: ``313``."""
    return python.replace(".", "")


def layer_name(python: str, arch: Arch) -> str:
    """The file name of the layer that has its own interpreter."""
    return f"lambda-runtime-python{digits(python)}-{arch.name}.zip"


X86_64 = Arch(
    "x86_64", "amd64", "x86_64", "x86_64-linux-gnu", 62, "GLIBC_2.2.5", "ld-linux-x86-64.so.2"
)
ARM64 = Arch(
    "arm64", "arm64", "aarch64", "aarch64-linux-gnu", 183, "GLIBC_2.17", "ld-linux-aarch64.so.1"
)
ARCHES = (X86_64, ARM64)


def python_named(version: str) -> str:
    """The Python version that a user asked for; an empty string means the default.

    Raises:
        UnusableInput: this version does not ship.
    """
    if version and version not in PYTHONS:
        raise UnusableInput(f"there is no layer for Python {version!r}: use {', '.join(PYTHONS)}")
    return version or DEFAULT_PYTHON


def arch_named(name: str) -> Arch:
    """The architecture that Lambda, Debian or the kernel calls `name`.

    Raises:
        UnusableInput: Lambda has no such architecture.
    """
    for arch in ARCHES:
        if name in (arch.name, arch.debian, arch.machine):
            return arch
    raise UnusableInput(f"Lambda has no architecture {name!r}: use x86_64 or arm64")
