"""What is measured: which functions, on which architectures, with how much memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

#: The default Python of what ships, and AWS's runtime for the same.
PYTHON = "3.13"
MANAGED = f"python{PYTHON}"
OWN = "provided.al2023"
MEMORIES = (128, 1769)
ARCHITECTURES = ("x86_64", "arm64")
STARTS = 20

HELLO = """\
def handler(event, context):
    return "hello"
"""
BOTO3 = """\
import boto3

client = boto3.client("dynamodb", region_name="us-east-1")


def handler(event, context):
    return "hello"
"""


@dataclass(frozen=True)
class Subject:
    """A function; `layer` is "", "own" or "managed"."""

    name: str
    title: str
    source: str = HELLO
    runtime: str = OWN
    layer: str = ""
    packed: bool = False

    @property
    def is_image(self) -> bool:
        """Whether it is a container image; else it is a zip."""
        return not self.runtime

    def layer_key(self, architecture: str) -> tuple[str, str]:
        """Which layer it needs: the managed one serves both architectures."""
        return self.layer, "" if self.layer == "managed" else architecture

    @property
    def variables(self) -> dict[str, str]:
        """The variables of the function's configuration."""
        wrapped = self.layer == "managed"
        return {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/lambda-runtime"} if wrapped else {}


SUBJECTS = (
    Subject("aws", "AWS's runtime", runtime=MANAGED),
    Subject("layer", "the layer", layer="own"),
    Subject("managed", "the managed layer", runtime=MANAGED, layer="managed"),
    Subject("image", "the image", runtime=""),
    Subject("aws-boto3", "AWS's runtime, boto3", source=BOTO3, runtime=MANAGED),
    Subject("packed", "the layer, boto3 packed", source=BOTO3, layer="own", packed=True),
)


@dataclass(frozen=True)
class Plan:
    """A run: which subjects, and how many cold starts of each."""

    subjects: tuple[Subject, ...]
    starts: int
    region: str
    name: str

    @property
    def functions(self) -> list[tuple[Subject, str]]:
        """Each function to be created, with its architecture."""
        return list(product(self.subjects, ARCHITECTURES))

    def announcement(self, account: str) -> str:
        """What the run creates and what it costs, for the user to agree to."""
        calls = len(self.functions) * len(MEMORIES) * self.starts
        layers = {each.layer_key(arch) for each, arch in self.functions if each.layer}
        images = sum(each.is_image for each, _ in self.functions)
        repository = f", an ECR repository with {images} images (40 MB)" if images else ""
        # Beyond the free tier: a second at each memory size, at 0.0000166667 dollars a GB-second.
        dollars = calls / 2 * sum(MEMORIES) / 1024 * 0.0000166667 + calls * 0.0000002
        return (
            f"In account {account}, region {self.region}, under the name {self.name}:\n"
            f"  an IAM role, {len(layers)} layer versions, {len(self.functions)} functions and "
            f"their log groups{repository};\n"
            f"  {calls} invocations, {self.starts} cold starts of each function at "
            f"{' and '.join(map(str, MEMORIES))} MB.\n"
            f"It costs {max(dollars, 0.005):.2f} US dollars at most, and takes about "
            f"{max(2, calls * 4 // 60)} minutes. All of it is removed at the end, also after "
            "Ctrl-C.\n"
        )
