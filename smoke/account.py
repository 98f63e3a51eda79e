"""The account: what a run creates in it, and the removing of whatever bears the run's name."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    WaiterError,
)

from container.engine import ContainerError, require
from smoke.errors import SmokeError
from smoke.plan import MEMORIES, Subject

PREFIX = "lambda-runtime-smoke"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
_LOGS = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
_CONFIG = Config(connect_timeout=10, read_timeout=90, retries={"max_attempts": 6})
_WAIT = {"Delay": 1, "MaxAttempts": 180}
_ROLE_SECONDS = 60
_PUSH_SECONDS = 600
#: The failures of an account, which are told in one line.
FAILURES = (ClientError, BotoCoreError, WaiterError, SmokeError, ContainerError)


class Account:
    """AWS's APIs for one run, whose resources are all called `name` and something."""

    def __init__(self, region: str, name: str) -> None:
        session = boto3.session.Session(region_name=region or None)
        if not session.region_name:
            raise SmokeError("no region: set AWS_REGION, or name one with ARGS='--region …'")
        if not session.get_credentials():
            raise SmokeError("no credentials: `aws configure`, or the AWS_… variables")
        self.region: str = session.region_name
        self.name = name
        names = ("lambda", "iam", "ecr", "logs", "sts")
        clients = {each: session.client(each, config=_CONFIG) for each in names}
        self.functions, self._iam = clients["lambda"], clients["iam"]
        self._ecr, self._logs, self._sts = clients["ecr"], clients["logs"], clients["sts"]

    def identity(self) -> str:
        """The account's number."""
        return str(self._sts.get_caller_identity()["Account"])

    def create_role(self) -> str:
        """The role of all functions; its ARN."""
        policy = json.dumps(_TRUST)
        made = self._iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=policy)
        self._iam.attach_role_policy(RoleName=self.name, PolicyArn=_LOGS)
        return str(made["Role"]["Arn"])

    def publish_layer(self, path: Path, kind: str, architectures: list[str]) -> str:
        """A layer's ARN."""
        made = self.functions.publish_layer_version(
            LayerName=f"{self.name}-{kind}",
            Content={"ZipFile": path.read_bytes()},
            CompatibleArchitectures=architectures,
        )
        return str(made["LayerVersionArn"])

    def push_image(self, archive: Path, label: str) -> str:
        """Put an image into the run's repository; its address there."""
        try:
            made = self._ecr.create_repository(repositoryName=self.name)["repository"]
        except self._ecr.exceptions.RepositoryAlreadyExistsException:
            made = self._ecr.describe_repositories(repositoryNames=[self.name])["repositories"][0]
        token = self._ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        target = f"{made['repositoryUri']}:{label}"
        push(archive, target, token)
        return target

    def create_function(
        self, name: str, subject: Subject, architecture: str, role: str, **code: Any
    ) -> None:
        """Create a function and wait until it can be invoked."""
        details: dict[str, Any] = {"PackageType": "Image"}
        if not subject.is_image:
            details = {"Runtime": subject.runtime, "Handler": "app.handler"}
        request = {
            "FunctionName": name,
            "Role": role,
            "Architectures": [architecture],
            "MemorySize": MEMORIES[0],
            "Timeout": 30,
            "Environment": {"Variables": subject.variables},
            **details,
            **code,
        }
        self._once_the_role_counts(lambda: self.functions.create_function(**request))
        self.functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=_WAIT)

    def _once_the_role_counts(self, create: Callable[[], object]) -> None:
        """A new role is known to Lambda only some seconds later."""
        until = time.monotonic() + _ROLE_SECONDS
        while True:
            try:
                create()
                return
            except self.functions.exceptions.InvalidParameterValueException as error:
                if "role" not in str(error).lower() or time.monotonic() > until:
                    raise
                time.sleep(2)

    def cold_start(self, name: str, subject: Subject, memory: int, number: int) -> str:
        """Invoke a function in an environment that is new, and return its log's tail."""
        # Whatever changes the configuration retires the environments that there are.
        variables = {**subject.variables, "SMOKE_START": f"{memory}-{number}"}
        self.functions.update_function_configuration(
            FunctionName=name, MemorySize=memory, Environment={"Variables": variables}
        )
        self.functions.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=_WAIT)
        answer = self.functions.invoke(FunctionName=name, LogType="Tail", Payload=b"{}")
        log = b64decode(answer["LogResult"]).decode(errors="replace")
        if answer.get("FunctionError"):
            raise SmokeError(f"{name} failed: {answer['Payload'].read().decode()}\n{log}")
        return log

    def remove(self, prefix: str = "") -> list[str]:
        """Remove whatever bears the run's name, or begins with `prefix`; what could not be."""
        begin = prefix or self.name
        steps: list[tuple[str, Callable[[], Iterable[str]], Callable[[str], None]]] = [
            ("function", self._function_names, self._delete_function),
            ("layer", self._layer_names, self._delete_layer),
            ("repository", self._repository_names, self._delete_repository),
            ("log group", self._log_group_names, self._delete_log_group),
            ("role", self._role_names, self._delete_role),
        ]
        left = []
        for kind, names, delete in steps:
            try:
                found = [name for name in names() if name.split("/")[-1].startswith(begin)]
            except FAILURES as error:
                left.append(f"{kind}: {error}")
                continue
            for name in found:
                try:
                    delete(name)
                except FAILURES as error:
                    left.append(f"{kind} {name}: {error}")
        return left

    def _function_names(self) -> Iterable[str]:
        return _all(self.functions, "list_functions", "Functions", "FunctionName")

    def _delete_function(self, name: str) -> None:
        self.functions.delete_function(FunctionName=name)

    def _layer_names(self) -> Iterable[str]:
        return _all(self.functions, "list_layers", "Layers", "LayerName")

    def _delete_layer(self, name: str) -> None:
        pages = self.functions.get_paginator("list_layer_versions").paginate(LayerName=name)
        for version in [each for page in pages for each in page["LayerVersions"]]:
            number = version["Version"]
            self.functions.delete_layer_version(LayerName=name, VersionNumber=number)

    def _repository_names(self) -> Iterable[str]:
        return _all(self._ecr, "describe_repositories", "repositories", "repositoryName")

    def _delete_repository(self, name: str) -> None:
        self._ecr.delete_repository(repositoryName=name, force=True)

    def _log_group_names(self) -> Iterable[str]:
        return _all(self._logs, "describe_log_groups", "logGroups", "logGroupName")

    def _delete_log_group(self, name: str) -> None:
        self._logs.delete_log_group(logGroupName=name)

    def _role_names(self) -> Iterable[str]:
        return _all(self._iam, "list_roles", "Roles", "RoleName")

    def _delete_role(self, name: str) -> None:
        for policy in self._iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            self._iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        self._iam.delete_role(RoleName=name)


def push(archive: Path, target: str, token: str, *, plain_http: bool = False) -> None:
    """Copy an image's archive to a registry; `token` is base64 of user and password.

    Raises:
        SmokeError: the registry does not take it.
    """
    require({"skopeo": "skopeo"})
    host = target.partition("/")[0]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as logins:  # none but we may read it
        json.dump({"auths": {host: {"auth": token}}}, logins)
        logins.flush()
        command = ["skopeo", "copy", "--quiet", "--authfile", logins.name]
        command += ["--dest-tls-verify=false"] if plain_http else []
        done = subprocess.run(
            [*command, f"oci-archive:{archive}", f"docker://{target}"],
            capture_output=True,
            text=True,
            timeout=_PUSH_SECONDS,
        )
    if done.returncode:
        raise SmokeError(f"skopeo: {done.stderr.strip().splitlines()[-1]}")


def _all(client: Any, operation: str, key: str, name: str) -> list[str]:
    pages = client.get_paginator(operation).paginate()
    return [str(each[name]) for page in pages for each in page[key]]
