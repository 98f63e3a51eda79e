"""The events: the same on every machine and in every run."""

import json
import random
import uuid
from typing import Any


def encode(document: object) -> bytes:
    """The document as the invoke side sends it: compact UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def message() -> dict[str, Any]:
    """A queue's event with one message: the size of an ordinary small event."""
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


def orders(size: int) -> dict[str, Any]:
    """A document of about `size` bytes: text of several scripts, numbers, nesting."""
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
