import requests

session = requests.Session()


def handler(event, context):
    request = requests.Request("GET", "https://example.org/a", params={"q": "1"})
    return {"url": session.prepare_request(request).url}
