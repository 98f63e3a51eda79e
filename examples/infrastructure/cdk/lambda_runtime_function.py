"""A construct: a function on lambda-runtime's layer, which a stack has once an architecture."""

from pathlib import Path
from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

LAYERS = Path(__file__).resolve().parents[3] / "build/layer"


class LambdaRuntimeFunction(lambda_.Function):
    """A Python function on this runtime: code, handler, and what `aws_lambda.Function` takes."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        architecture: lambda_.Architecture = lambda_.Architecture.ARM_64,
        python: str = "3.13",
        layers: list[lambda_.ILayerVersion] | None = None,
        **options: Any,
    ) -> None:
        runtime = _layer(Stack.of(scope), python, architecture)
        super().__init__(
            scope,
            id,
            runtime=lambda_.Runtime.PROVIDED_AL2023,
            architecture=architecture,
            layers=[runtime, *(layers or [])],
            **{"memory_size": 256, "timeout": Duration.seconds(10), **options},
        )


def _layer(stack: Stack, python: str, architecture: lambda_.Architecture) -> lambda_.LayerVersion:
    name = f"lambda-runtime-python{python.replace('.', '')}-{architecture.name}"
    found = stack.node.try_find_child(name)
    if isinstance(found, lambda_.LayerVersion):
        return found
    return lambda_.LayerVersion(
        stack,
        name,
        code=lambda_.Code.from_asset(str(LAYERS / f"{name}.zip")),
        compatible_runtimes=[lambda_.Runtime.PROVIDED_AL2023],
        compatible_architectures=[architecture],
        removal_policy=RemovalPolicy.DESTROY,
    )
