from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parser import BaseModel, parse

logger = Logger(service="orders")
tracer = Tracer(service="orders")
metrics = Metrics(namespace="Orders", service="orders")
app = APIGatewayRestResolver()


class Order(BaseModel):
    id: str


@app.get("/orders/<number>")
@tracer.capture_method
def get_order(number: str):
    metrics.add_metric(name="Reads", unit=MetricUnit.Count, value=1)
    return parse(event={"id": number}, model=Order).model_dump()


@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST)
@tracer.capture_lambda_handler
@metrics.log_metrics
def serve(event, context):
    return app.resolve(event, context)


def handler(event, context):
    request = {
        "resource": "/orders/{number}",
        "path": "/orders/1",
        "httpMethod": "GET",
        "headers": {},
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"number": "1"},
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
        "requestContext": {
            "requestId": "r",
            "stage": "p",
            "identity": {"sourceIp": "192.0.2.1"},
            "httpMethod": "GET",
            "path": "/orders/1",
            "resourcePath": "/orders/{number}",
        },
    }
    response = serve(request, context)
    return [response["statusCode"], response["body"]]
