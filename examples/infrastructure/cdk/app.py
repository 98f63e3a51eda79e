"""`cdk deploy`: the countdown, behind a URL that streams."""

from pathlib import Path

from aws_cdk import App, CfnOutput, Stack
from aws_cdk import aws_lambda as lambda_
from lambda_runtime_function import LambdaRuntimeFunction

app = App()
stack = Stack(app, "Countdown")
function = LambdaRuntimeFunction(
    stack,
    "Function",
    code=lambda_.Code.from_asset(str(Path(__file__).resolve().parent.parent / "function")),
    handler="app.handler",
)
url = function.add_function_url(
    auth_type=lambda_.FunctionUrlAuthType.AWS_IAM, invoke_mode=lambda_.InvokeMode.RESPONSE_STREAM
)
CfnOutput(stack, "Url", value=url.url)
app.synth()
