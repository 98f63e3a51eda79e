from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI(title="orders")


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


def token(x_token: Annotated[str | None, Header()] = None):
    return x_token


@app.get("/items/{number}")
async def get_item(number: int, q: str | None = None, t: str | None = Depends(token)) -> Item:
    return Item(name=f"{number} {q} {t}", price=1.0)


@app.post("/items")
async def post_item(item: Item) -> Item:
    if not item.name:
        raise HTTPException(400)
    return item


mangum = Mangum(app, lifespan="off")


def handler(event, context):
    http = {"method": "GET", "path": "/items/3", "sourceIp": "192.0.2.1", "protocol": "HTTP/1.1"}
    request = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/items/3",
        "rawQueryString": "q=1",
        "headers": {"host": "example.org", "x-token": "a"},
        "requestContext": {"http": http, "stage": "$default"},
        "isBase64Encoded": False,
    }
    response = mangum(request, context)
    return [response["statusCode"], response["body"]]
