"""A FastAPI application."""

from fastapi import FastAPI
from pydantic import BaseModel


class Greeting(BaseModel):
    message: str


app = FastAPI()


@app.get("/")
async def hello() -> Greeting:
    return Greeting(message="hello")
