"""A FastAPI application with one route, as at the start of FastAPI's tutorial."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/hello/{name}")
async def hello(name: str, greeting: str = "Hello") -> dict[str, str]:
    return {"message": f"{greeting}, {name}"}
