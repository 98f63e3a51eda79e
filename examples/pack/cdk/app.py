"""A stack whose function is packed when CDK bundles it: cdk deploy."""

import subprocess
from typing import Any

import jsii
from aws_cdk import App, BundlingOptions, DockerImage, ILocalBundling, Stack, aws_lambda


@jsii.implements(ILocalBundling)
class Pack:
    """Packs the function on this machine, without a container."""

    def try_bundle(self, output_dir: str, *_: Any, **__: Any) -> bool:
        command = ["lambda-runtime", "pack", "../src", "--handler", "app.handler"]
        command += ["--event", "../event.json", "--requirements", "../src/requirements.txt"]
        command += ["--python", "3.13", "--arch", "x86_64"]
        # A single zip in the folder is taken as it is.
        subprocess.run([*command, "--out", f"{output_dir}/function.zip"], check=True)
        return True


app = App()
stack = Stack(app, "Packed")
image = DockerImage.from_registry("scratch")  # asked for, and not used
aws_lambda.Function(
    stack,
    "Page",
    runtime=aws_lambda.Runtime.PYTHON_3_13,
    architecture=aws_lambda.Architecture.X86_64,
    handler="app.handler",
    code=aws_lambda.Code.from_asset("../src", bundling=BundlingOptions(image=image, local=Pack())),
    memory_size=512,
)
app.synth()
