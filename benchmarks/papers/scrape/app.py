import requests
from lxml import html

PAGE = b"<html><body><a href='/one'>One</a><a href='/two'>Two</a></body></html>"


def handler(event, context):
    request = requests.Request("GET", "https://example.org/", params={"q": "1"}).prepare()
    return [request.url, html.fromstring(PAGE).xpath("//a/@href")]
