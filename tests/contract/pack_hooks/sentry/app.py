import sentry_sdk
from sentry_sdk.integrations.aws_lambda import AwsLambdaIntegration

sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", integrations=[AwsLambdaIntegration()])

import requests  # noqa: E402


def handler(event, context):
    integrations = sorted(sentry_sdk.get_client().integrations)
    return [integrations, requests.__name__]
