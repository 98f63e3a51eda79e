"""What events that wait stand on: clients, counts, state."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_emulator.ground import clients
from lambda_emulator.ground.clients import Refused, Services, Unreachable
from lambda_emulator.ground.counts import Counts
from lambda_emulator.ground.destinations import Destinations, Parcel
from lambda_emulator.ground.state import State


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A machine without credentials for AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    clients._session.cache_clear()
    yield
    clients._session.cache_clear()


def call(services: Services, *operation: str) -> object:
    async def run() -> object:
        try:
            return await services.call(*operation)
        finally:
            services.close()

    return asyncio.run(run())


@pytest.mark.usefixtures("nothing_known")
def test_an_endpoint_from_the_environment_needs_no_credentials(
    moto: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", moto)
    assert call(Services(), "sqs", "list_queues")


@pytest.mark.usefixtures("nothing_known")
def test_credentials_for_aws_itself_are_not_made_up() -> None:
    with pytest.raises(Refused, match="NoCredentials"):
        call(Services(), "sqs", "list_queues")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 400 No\r\nContent-Length: 40\r\n\r\n{"__type": "x#ThrottlingException"}      ',
    ],
)
def test_whatever_an_endpoint_says_it_may_be_asked_again(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(Unreachable):
            call(Services(endpoint_url=endpoint, tell=lambda text: None), "sqs", "list_queues")
        thread.join(10)


def test_a_service_that_is_back_is_told_of(moto: str) -> None:
    async def run() -> list[str]:
        told: list[str] = []
        services = Services(endpoint_url=moto, tell=told.append)
        try:
            services._note_absence("sqs", Unreachable("gone"))
            await services.call("sqs", "list_queues")
            await services.call("sqs", "list_queues")
        finally:
            services.close()
        return told

    assert asyncio.run(run())[1:] == ["sqs answers again"]


def test_arguments_that_a_service_does_not_have_are_refused(moto: str) -> None:
    with pytest.raises(Refused):
        call(Services(endpoint_url=moto), "sqs", "get_queue_url")


def test_an_answer_without_what_it_should_have_may_come_better(moto: str) -> None:
    services = Services(endpoint_url=moto)

    async def nothing(*operation: str, **parameters: object) -> dict[str, object]:
        return {}

    services.call = nothing  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="QueueUrl"):
        asyncio.run(Destinations(services).send("arn:aws:sqs:a:b:c", Parcel("{}")))
    services.close()


@pytest.mark.parametrize("arn", ["text", "arn:aws:kafka:a:b:c", "arn:aws:lambda:a:b:layer:c"])
def test_places_that_are_no_destinations_are_refused(arn: str) -> None:
    services = Services()
    with pytest.raises(Refused):
        asyncio.run(Destinations(services).send(arn, Parcel("{}")))
    services.close()


def test_counts_are_json() -> None:
    counts = Counts()
    counts.add("name", "Errors", 2)
    counts.measure("name", "IteratorAge", 3.0)
    counts.measure("name", "IteratorAge", 1.0)
    counts.add_to_mapping("uuid", "PolledEventCount")
    age = {"Count": 2, "Sum": 4.0, "Minimum": 1.0, "Maximum": 3.0, "Average": 2.0}
    assert json.loads(json.dumps(counts.document())) == {
        "functions": {"name": {"Errors": 2, "IteratorAge": age}},
        "eventSourceMappings": {"uuid": {"PolledEventCount": 1}},
    }


def test_statements_together_happen_all_or_not_at_all(tmp_path: Path) -> None:
    state = State(tmp_path / "new" / "folder")
    state.create("CREATE TABLE one (n INTEGER PRIMARY KEY)")
    insert = "INSERT INTO one VALUES (?)"
    with pytest.raises(Exception, match="UNIQUE"):
        state.together([(insert, (1,)), (insert, (1,))])
    assert state.rows("SELECT * FROM one") == []
    state.close()


def test_a_folder_is_one_emulators(tmp_path: Path) -> None:
    state = State(tmp_path)
    with pytest.raises(OSError, match="another emulator uses it"):
        State(tmp_path)
    state.close()
    State(tmp_path).close()


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "events.sqlite3").write_bytes(b"nonsense" * 1000)
    with pytest.raises(sqlite3.Error):
        State(tmp_path)
