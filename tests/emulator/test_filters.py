"""Filter criteria: what AWS's pages on filtering give as rules and examples."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from lambda_emulator.mappings.filters import Filters


def queue(body: str) -> dict[str, Any]:
    return {"messageId": "1", "body": body, "eventSource": "aws:sqs"}


def kinesis(data: bytes) -> dict[str, Any]:
    inner = {"partitionKey": "1", "data": base64.b64encode(data).decode()}
    return {"kinesis": inner, "eventSource": "aws:kinesis"}


ORDER = '{"kind": "order", "total": 12, "tags": ["new", "big"], "note": null, "empty": ""}'


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": ["order"]}, True),
        ({"kind": ["other", "order"]}, True),
        ({"kind": ["other"]}, False),
        ({"kind": ["order"], "total": [13]}, False),
        ({"note": [None]}, True),
        ({"empty": [""]}, True),
        ({"tags": ["big"]}, True),
        ({"kind": [{"anything-but": ["order"]}]}, False),
        ({"total": [{"numeric": ["=", 12]}]}, True),
        ({"total": [{"numeric": [">", 10, "<=", 12]}]}, True),
        ({"kind": [{"exists": True}]}, True),
        ({"missing": [{"exists": False}]}, True),
        ({"kind": [{"prefix": "or"}]}, True),
        ({"kind": [{"suffix": "der"}]}, True),
        ({"kind": [{"equals-ignore-case": "ORDER"}]}, True),
        ({"$or": [{"kind": ["other"]}, {"total": [12]}]}, True),
    ],
)
def test_rules(rule: dict[str, Any], expected: bool) -> None:
    assert Filters([json.dumps({"body": rule})], "sqs").matches(queue(ORDER)) is expected
    assert Filters([json.dumps({"data": rule})], "kinesis").matches(kinesis(ORDER.encode())) is (
        expected
    )
    record = {"eventName": "INSERT", "dynamodb": json.loads(ORDER)}
    assert Filters([json.dumps({"dynamodb": rule})], "dynamodb").matches(record) is expected


@pytest.mark.parametrize(
    ("body", "pattern", "expected"),
    [
        ("plain", {"body": ["plain"]}, True),
        ("plain", {"body": [{"prefix": "pla"}]}, True),
        ("plain", {"body": ["other"]}, False),
        ("plain", {"body": {"kind": ["order"]}}, False),
        ("plain", {"eventSource": ["aws:sqs"]}, True),
        (ORDER, {"body": [ORDER]}, False),
        (ORDER, {"eventSource": ["aws:sqs"]}, True),
        (ORDER, {}, True),
    ],
)
def test_formats_of_body_and_pattern_must_agree(
    body: str, pattern: dict[str, Any], expected: bool
) -> None:
    assert Filters([json.dumps(pattern)], "sqs").matches(queue(body)) is expected


def test_metadata_of_kinesis_and_data_that_is_no_text() -> None:
    assert Filters(['{"partitionKey": ["1"]}'], "kinesis").matches(kinesis(b"\xff"))
    assert not Filters(['{"data": {"a": [1]}}'], "kinesis").matches(kinesis(b"\xff"))


def test_one_filter_of_several_is_enough_and_none_lets_all_pass() -> None:
    patterns = ['{"body": {"kind": ["other"]}}', '{"body": {"total": [12]}}']
    assert Filters(patterns, "sqs").matches(queue(ORDER))
    assert Filters([], "sqs").matches(queue("plain"))


@pytest.mark.parametrize("pattern", ["{", "[]", '{"body": "text"}', '{"body": []}', '"text"'])
def test_patterns_that_are_none_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        Filters([pattern], "sqs")
