"""A function's configuration: from what a caller asks for to what the API tells."""

from __future__ import annotations

from typing import Any

from lambda_emulator.apis.errors import ApiError, invalid
from lambda_emulator.names import parse_layer
from lambda_emulator.service.runtimes import architecture, check_runtime
from lambda_emulator.service.store import Table

Document = dict[str, Any]
_PLAIN = (
    *("Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize", "DeadLetterConfig"),
    *("KMSKeyArn", "TracingConfig", "Architectures", "FileSystemConfigs", "EphemeralStorage"),
    *("PackageType", "CapacityProviderConfig", "DurableConfig", "TenancyConfig"),
)
_MOST_VARIABLES = 4096
_MOST_LAYERS = 5
_LARGEST_MEMORY = 10_240
_LARGEST_MANAGED_MEMORY = 32_768
_LONGEST_TIMEOUT = 900
# What the platform sets. Source: AWS, 'Working with Lambda environment variables'.
_RESERVED = {
    *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV"),
    *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_RUNTIME_API"),
    *("AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "LAMBDA_TASK_ROOT"),
    *("AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "LAMBDA_RUNTIME_DIR"),
    *("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
}


def fresh(name: str) -> Document:
    """The configuration of a new function before a caller's wishes."""
    return {
        "FunctionName": name,
        "Version": "$LATEST",
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "PackageType": "Zip",
        "Architectures": [architecture()],
        "EphemeralStorage": {"Size": 512},
        "TracingConfig": {"Mode": "PassThrough"},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
    }


def change(layers: Table, configuration: Document, wishes: Document) -> None:
    """Set what a caller asks for. Raises ApiError; then nothing is changed."""
    changed: Document = {name: wishes[name] for name in _PLAIN if name in wishes}
    if "Environment" in wishes:
        changed["Environment"] = _environment(wishes["Environment"])
    if "Layers" in wishes:
        changed |= _layers(layers, wishes["Layers"])
    if "VpcConfig" in wishes:
        changed["VpcConfig"] = {"VpcId": "", **wishes["VpcConfig"]}
    if "SnapStart" in wishes:
        changed["SnapStart"] = {"OptimizationStatus": "Off", **wishes["SnapStart"]}
    if "ImageConfig" in wishes:
        changed["ImageConfigResponse"] = {"ImageConfig": wishes["ImageConfig"]}
    if "LoggingConfig" in wishes:
        changed["LoggingConfig"] = configuration["LoggingConfig"] | wishes["LoggingConfig"]
    _check({**configuration, **changed})
    configuration.update(changed)


def _check(configuration: Document) -> None:
    if configuration["PackageType"] == "Zip":
        for name in ("Runtime", "Handler"):
            if not configuration.get(name):
                raise invalid("Runtime and Handler are mandatory parameters for functions created "
                              "with deployment packages.")  # fmt: skip
        check_runtime(configuration["Runtime"])
    elif "Runtime" in configuration or "Layers" in configuration:
        raise invalid("Please don't provide Runtime, Handler or Layers when the PackageType is "
                      "Image.")  # fmt: skip
    managed = "CapacityProviderConfig" in configuration
    _at_most(configuration, "Timeout", _LONGEST_TIMEOUT)
    _at_most(configuration, "MemorySize", _LARGEST_MANAGED_MEMORY if managed else _LARGEST_MEMORY)
    if managed and configuration["SnapStart"]["ApplyOn"] != "None":
        raise invalid("SnapStart is not supported for functions with a capacity provider.")


def _at_most(configuration: Document, name: str, largest: int) -> None:
    if configuration[name] > largest:
        raise ApiError(
            400,
            "ValidationException",
            f"1 validation error detected: Value '{configuration[name]}' at {name!r} failed to "
            f"satisfy constraint: Member must have value less than or equal to {largest}",
        )


def _environment(environment: Document) -> Document:
    variables = environment.get("Variables", {})
    reserved = sorted(_RESERVED & set(variables))
    if reserved:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided contains reserved keys that are currently not supported "
            f"for modification. Reserved keys used in this request: {', '.join(reserved)}"
        )
    size = sum(len(name.encode()) + len(value.encode()) for name, value in variables.items())
    if size > _MOST_VARIABLES:
        raise invalid(
            "Lambda was unable to configure your environment variables because the environment "
            f"variables you have provided exceeded the {_MOST_VARIABLES} byte limit."
        )
    return {"Variables": variables}


def _layers(layers: Table, arns: list[str]) -> Document:
    if len(arns) > _MOST_LAYERS:
        raise invalid(f"Function may reference up to {_MOST_LAYERS} layers at a time.")
    found = [layer_version(layers, arn) for arn in arns]
    names = [one["_name"] for one in found]
    if len(set(names)) < len(names):
        raise invalid("Two different versions of the same layer are not allowed to be referenced "
                      "in the same function.")  # fmt: skip
    return {
        "Layers": [
            {"Arn": one["LayerVersionArn"], "CodeSize": one["Content"]["CodeSize"]} for one in found
        ],
        "_layers": [one["_archive"] for one in found],
    }


def layer_version(layers: Table, arn: str) -> Document:
    """The layer version of an ARN. Raises ApiError."""
    parsed = parse_layer(arn)
    layer = layers.get(parsed[0]) if parsed else None
    version: Document | None = layer and parsed and layer["versions"].get(str(parsed[1]))
    if version is None:
        raise invalid(
            f"Layer version {arn} does not exist here: publish it with PublishLayerVersion"
        )
    return version
