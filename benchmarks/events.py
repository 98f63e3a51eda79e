"""The events. They are the same on every machine and in every run."""

import json
import random
import uuid
from typing import Any


def encode(document: object) -> bytes:
    """Encode a document as callers of the Invoke API do: compact JSON in UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def message() -> dict[str, Any]:
    """A queue's event with one message. It has the size of an ordinary small event."""
    return {
        "Records": [
            {
                "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
                "body": '{"order": 1041, "customer": "Zoë", "items": ["pen", "ink"]}',
                "attributes": {
                    "ApproximateReceiveCount": "1",
                    "SentTimestamp": "1545082649183",
                    "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                    "ApproximateFirstReceiveTimestamp": "1545082649185",
                },
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
                "awsRegion": "us-east-2",
            }
        ]
    }


def chunks(size: int, number: int, pause_ms: int = 0) -> dict[str, int]:
    """The event for the function ``stream``: number and size of chunks, pause between them."""
    return {"size": size, "chunks": number, "pause_ms": pause_ms}


def http_request() -> dict[str, Any]:
    """A function URL's event, payload format 2.0: a browser's GET of /hello/Zoe?greeting=Hi."""
    headers = {
        "accept": "application/json, text/plain, */*",
        "accept-encoding": "gzip, deflate, br, zstd",
        "accept-language": "en-GB,en;q=0.9",
        "cache-control": "no-cache",
        "host": "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws",
        "origin": "https://shop.example.com",
        "referer": "https://shop.example.com/",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        "x-amzn-trace-id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
        "x-forwarded-for": "203.0.113.9",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/hello/Zoe",
        "rawQueryString": "greeting=Hi",
        "headers": headers,
        "queryStringParameters": {"greeting": "Hi"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abcdefghijklmnopqrstuvwxyz012345",
            "domainName": headers["host"],
            "domainPrefix": "abcdefghijklmnopqrstuvwxyz012345",
            "http": {
                "method": "GET",
                "path": "/hello/Zoe",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.9",
                "userAgent": headers["user-agent"],
            },
            "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1767225600000,
        },
        "isBase64Encoded": False,
    }


def orders(size: int) -> dict[str, Any]:
    """A nested document of about ``size`` bytes with numbers, and text in several scripts."""
    chance = random.Random(20141113)
    found: list[dict[str, Any]] = []
    length = 0
    while length < size:
        found.append(_order(chance, len(found)))
        length += len(encode(found[-1])) + 1
    return {"orders": found}


def _order(chance: random.Random, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "customer": chance.choice(["Ana Lima", "Zoë Müller", "Олена Коваль", "山田 花子"]),
        "total": round(chance.uniform(1, 5000), 2),
        "paid": chance.random() < 0.8,
        "coupon": None,
        "address": {
            "street": f"{chance.randrange(1, 400)} Harbour Road",
            "city": chance.choice(["Porto", "Köln", "Kyiv", "Osaka"]),
            "location": [round(chance.uniform(-90, 90), 6), round(chance.uniform(-180, 180), 6)],
        },
        "lines": [
            {"sku": f"SKU-{chance.randrange(10**6):06}", "quantity": chance.randrange(1, 9)}
            for _ in range(chance.randrange(1, 5))
        ],
    }
