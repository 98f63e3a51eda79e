"""The simplest loop for the Runtime API on ``httpx``."""

import importlib
import json
import os
import sys

import httpx

BASE = "/2018-06-01/runtime/invocation/"


def main() -> None:
    module, function = sys.argv[1].split(".")
    handler = getattr(importlib.import_module(module), function)
    address = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
    headers = {"Content-Type": "application/json"}
    with httpx.Client(base_url=address, timeout=None, trust_env=False) as client:
        while True:
            reply = client.get(BASE + "next")
            request_id = reply.headers["Lambda-Runtime-Aws-Request-Id"]
            result = handler(reply.json(), None)
            sys.stdout.flush()
            body = json.dumps(result, ensure_ascii=False, separators=(",", ":")).encode()
            url = f"{BASE}{request_id}/response"
            client.post(url, content=body, headers=headers).raise_for_status()


if __name__ == "__main__":
    main()
