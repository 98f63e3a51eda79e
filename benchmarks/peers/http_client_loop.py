"""The simplest loop for the Runtime API on ``http.client``."""

import http.client
import importlib
import json
import os
import sys

BASE = "/2018-06-01/runtime/invocation/"


def main() -> None:
    module, function = sys.argv[1].split(".")
    handler = getattr(importlib.import_module(module), function)
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    headers = {"Content-Type": "application/json"}
    while True:
        connection.request("GET", BASE + "next")
        reply = connection.getresponse()
        request_id = reply.headers["Lambda-Runtime-Aws-Request-Id"]
        result = handler(json.loads(reply.read()), None)
        sys.stdout.flush()
        body = json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
        connection.request("POST", f"{BASE}{request_id}/response", body, headers)
        connection.getresponse().read()


if __name__ == "__main__":
    main()
