"""What the layers are built for: Lambda's machines, its limits, and where our files land.

Limits and paths: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html and
https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

from dataclasses import dataclass

from layer.errors import LayerError

#: Where Lambda unpacks layers.
MOUNT = "/opt"
#: The interpreter's folder in the layer. As long as `/usr/lib/ssl`, which it replaces inside
#: libcrypto.
CPYTHON = "cpython"
#: The folder of the runtime's package and of orjson, where `bootstrap` beside it looks for them.
HOME = "runtime"
#: The managed layer's executable: AWS_LAMBDA_EXEC_WRAPPER=/opt/lambda-runtime.
WRAPPER = "lambda-runtime"

PYTHON = "3.13"
MANAGED_PYTHONS = ("3.11", "3.12", "3.13", "3.14")

#: The newest glibc symbol version that `provided.al2023` can serve.
GLIBC = (2, 34)
#: Function and layers together, unzipped, in bytes.
MAX_UNZIPPED = 250 * 1024 * 1024
#: One zip uploaded directly (not through S3), in bytes.
MAX_ZIPPED = 50 * 1024 * 1024


@dataclass(frozen=True)
class Arch:
    """One of Lambda's two architectures under the names its neighbours have for it."""

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


X86_64 = Arch(
    "x86_64", "amd64", "x86_64", "x86_64-linux-gnu", 62, "GLIBC_2.2.5", "ld-linux-x86-64.so.2"
)
ARM64 = Arch(
    "arm64", "arm64", "aarch64", "aarch64-linux-gnu", 183, "GLIBC_2.17", "ld-linux-aarch64.so.1"
)
ARCHES = (X86_64, ARM64)


def arch_named(name: str) -> Arch:
    """The architecture called `name` by Lambda, Debian or the kernel.

    Raises:
        LayerError: Lambda has no such architecture.
    """
    for arch in ARCHES:
        if name in (arch.name, arch.debian, arch.machine):
            return arch
    raise LayerError(f"Lambda has no architecture {name!r}: use x86_64 or arm64")
