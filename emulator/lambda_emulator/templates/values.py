"""The values of a template: parameters, conditions, mappings, and CloudFormation's functions.

Source: AWS, 'Intrinsic function reference'. Of resources that are not made here the names and ARNs
are known, as CloudFormation would make them of the template alone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from lambda_emulator.project.errors import RunError, UsageError

Document = dict[str, Any]
NO_VALUE = object()
_VARIABLE = re.compile(r"\$\{(!?)([^}]+)\}")
# The property that names a resource, and the service and kind in its ARN.
_KINDS = {
    "AWS::Lambda::Function": ("FunctionName", "lambda", "function:"),
    "AWS::SQS::Queue": ("QueueName", "sqs", ""),
    "AWS::SNS::Topic": ("TopicName", "sns", ""),
    "AWS::DynamoDB::Table": ("TableName", "dynamodb", "table/"),
    "AWS::Kinesis::Stream": ("Name", "kinesis", "stream/"),
    "AWS::S3::Bucket": ("BucketName", "s3", ""),
    "AWS::Events::EventBus": ("Name", "events", "event-bus/"),
    "AWS::IAM::Role": ("RoleName", "iam", "role/"),
    "AWS::Logs::LogGroup": ("LogGroupName", "logs", "log-group:"),
    "AWS::StepFunctions::StateMachine": ("StateMachineName", "states", "stateMachine:"),
}
_GLOBAL = ("s3", "iam")


class Values:
    """Works out values; ``known`` has what resources have become, by name and attribute.

    The attribute "Ref" is what a reference to the resource gives.
    """

    def __init__(
        self, template: Document, chosen: dict[str, str], region: str, account: str
    ) -> None:
        self._template = template
        self._region = region
        self._account = account
        self.known: dict[tuple[str, str], Any] = {}
        self._pseudo = {
            "AWS::Region": region,
            "AWS::AccountId": account,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": "emulator",
            "AWS::StackId": f"arn:aws:cloudformation:{region}:{account}:stack/emulator/0",
            "AWS::NoValue": NO_VALUE,
            "AWS::NotificationARNs": [],
        }
        self._parameters = _parameters(template.get("Parameters", {}), chosen)
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self.reference,
            "Condition": self.condition,
            "Fn::GetAtt": self._attribute,
            "Fn::Sub": self._substitute,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::If": self._if,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Base64": lambda text: base64.b64encode(self.of(text).encode()).decode(),
            "Fn::GetAZs": lambda region: [f"{self._region}{zone}" for zone in "abc"],
            "Fn::Equals": lambda pair: self.of(pair[0]) == self.of(pair[1]),
            "Fn::And": lambda parts: all(self.of(part) for part in parts),
            "Fn::Or": lambda parts: any(self.of(part) for part in parts),
            "Fn::Not": lambda parts: not self.of(parts[0]),
        }

    def of(self, value: Any) -> Any:
        """The value, worked out; what is AWS::NoValue is left out. Raises RunError."""
        if isinstance(value, list):
            return [one for one in map(self.of, value) if one is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name in self._functions:
                return self._call(name, argument)
            if name.startswith("Fn::"):
                raise RunError(f"{name} is not emulated in templates")
        pairs = ((name, self.of(one)) for name, one in value.items())
        return {name: one for name, one in pairs if one is not NO_VALUE}

    def _call(self, name: str, argument: Any) -> Any:
        try:
            return self._functions[name](argument)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            shown = str(argument)[:200]
            text = f"{name} of {shown}: {type(error).__name__}: {error}"
            raise RunError(f"the template cannot be worked out: {text}") from error

    def exists(self, resource: Document) -> bool:
        """Whether the condition of a resource holds."""
        return "Condition" not in resource or self.condition(resource["Condition"])

    def condition(self, name: str) -> bool:
        """Whether a condition holds. Raises RunError."""
        conditions = self._template.get("Conditions", {})
        if name not in conditions:
            raise RunError(f"the template has no condition {name}")
        return bool(self.of(conditions[name]))

    # references

    def reference(self, name: str) -> Any:
        """What ``Ref`` of a parameter or resource gives. Raises RunError."""
        for known in (self._pseudo, self._parameters):
            if name in known:
                return known[name]
        return self._of_resource(name, "Ref")

    def _attribute(self, path: Any) -> Any:
        name, _, attribute = (
            path.partition(".") if isinstance(path, str) else (path[0], "", path[1])
        )
        return self._of_resource(name, self.of(attribute))

    def _of_resource(self, name: str, attribute: str) -> Any:
        if (name, attribute) in self.known:
            return self.known[name, attribute]
        resource = self._template["Resources"].get(name)
        if resource is None:
            raise RunError(f"the template has neither a resource nor a parameter {name}")
        return self._supposed(name, resource, attribute)

    def _supposed(self, name: str, resource: Document, attribute: str) -> Any:
        """What a resource has that is not made here."""
        kind = resource["Type"]
        named, service, prefix = _KINDS.get(kind, ("Name", kind.split("::")[1].lower(), ""))
        own = self.of(resource.get("Properties", {}).get(named) or name)
        place = ":" if service in _GLOBAL else f"{self._region}:{self._account}"
        if service == "iam":
            place = f":{self._account}"
        arn = f"arn:aws:{service}:{place}:{prefix}{own}"
        if attribute == "Arn" or (attribute, kind) in (
            ("TopicArn", "AWS::SNS::Topic"),
            ("Ref", "AWS::SNS::Topic"),
            ("Ref", "AWS::StepFunctions::StateMachine"),
        ):
            return arn
        if kind == "AWS::SQS::Queue" and attribute in ("Ref", "QueueUrl"):
            return f"https://sqs.{self._region}.amazonaws.com/{self._account}/{own}"
        if attribute == "StreamArn":
            return f"{arn}/stream/1970-01-01T00:00:00.000"
        return own if attribute in ("Ref", named) else f"{own}.{attribute}"

    # functions of values

    def _substitute(self, argument: Any) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else argument

        def value_of(match: re.Match[str]) -> str:
            literal, name = match[1], match[2].strip()
            if literal:
                return f"${{{name}}}"
            if name in own:
                return str(self.of(own[name]))
            return str(self._attribute(name) if "." in name else self.reference(name))

        return _VARIABLE.sub(value_of, text)

    def _join(self, argument: Any) -> str:
        separator, parts = argument
        return str(separator).join(str(part) for part in self.of(parts))

    def _split(self, argument: Any) -> list[str]:
        separator, text = argument
        return str(self.of(text)).split(separator)

    def _select(self, argument: Any) -> Any:
        index, items = argument
        return self.of(items)[int(self.of(index))]

    def _if(self, argument: Any) -> Any:
        name, then, otherwise = argument
        return self.of(then if self.condition(name) else otherwise)

    def _find_in_map(self, argument: Any) -> Any:
        name, first, second = (self.of(part) for part in argument[:3])
        return self.of(self._template.get("Mappings", {})[name][first][second])


def _parameters(declared: Document, chosen: dict[str, str]) -> Document:
    unknown = sorted(set(chosen) - set(declared))
    if unknown:
        raise UsageError(f"--parameter {unknown[0]}: the template has no such parameter")
    found: Document = {}
    for name, parameter in declared.items():
        value = chosen.get(name, parameter.get("Default"))
        kind = str(parameter.get("Type", "String"))
        if value is None:
            raise UsageError(f"the template's parameter {name} has no default: "
                             f"--parameter {name}=VALUE")  # fmt: skip
        is_list = kind.startswith("List<") or kind == "CommaDelimitedList"
        found[name] = [part.strip() for part in str(value).split(",")] if is_list else str(value)
    return found
