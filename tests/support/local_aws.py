"""AWS's APIs on this machine: moto, on a free port, empty at the start."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

# Read when moto is loaded: the policies that AWS has made, for roles to have.
os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"

from moto.server import ThreadedMotoServer


@contextmanager
def local_aws() -> Iterator[dict[str, str]]:
    """The environment variables with which `aws`, boto3 and others talk to it, and to no other."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://127.0.0.1:{port}"
    try:
        httpx.post(f"{endpoint}/moto-api/reset", trust_env=False, timeout=60).raise_for_status()
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "NO_PROXY": "127.0.0.1",
        }
    finally:
        server.stop()


def without_aws() -> dict[str, str]:
    """This process's environment, without its owner's account."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
