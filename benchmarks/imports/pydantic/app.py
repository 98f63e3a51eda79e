from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, Field, ValidationError, field_validator


class Item(BaseModel):
    sku: str = Field(min_length=1)
    price: Decimal
    count: int = 1


class Order(BaseModel):
    id: str
    at: datetime
    items: list[Item]
    note: str | None = None

    @field_validator("note")
    @classmethod
    def strip(cls, value):
        return value.strip() if value else value


def handler(event, context):
    items = [{"sku": "a", "price": "1.50"}]
    order = Order.model_validate({"id": "1", "at": "2026-01-01T00:00:00Z", "items": items})
    try:
        Order.model_validate({"id": 1})
    except ValidationError as error:
        return [order.model_dump_json(), [problem["type"] for problem in error.errors()]]
