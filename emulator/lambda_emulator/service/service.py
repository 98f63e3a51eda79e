"""The Lambda service of one account in one region: what it keeps, and what runs.

A function is one document: ``versions`` has the configuration of ``$LATEST`` and of each published
version in the form of the API's FunctionConfiguration; names that begin with ``_`` are the
emulator's own. The operations of the API are in ``operations``.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lambda_emulator.apis.errors import ApiError, invalid, not_found
from lambda_emulator.closing import Closing
from lambda_emulator.ground.counts import Counts
from lambda_emulator.names import parse_function
from lambda_emulator.project.errors import RunError, UsageError
from lambda_emulator.service.archives import Archives
from lambda_emulator.service.concurrency import Concurrency
from lambda_emulator.service.fleets import Fleets
from lambda_emulator.service.folders import Folders
from lambda_emulator.service.model import Model
from lambda_emulator.service.runtimes import Runtimes
from lambda_emulator.service.settings import Settings
from lambda_emulator.service.store import Store
from lambda_emulator.service.target import Calls, Target
from lambda_emulator.service.urls import Urls
from lambda_emulator.service.waiting import Waiting

Document = dict[str, Any]
LATEST = "$LATEST"


class Service(Closing):
    """The service; an asynchronous context in which it runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.model = Model()
        self._temporary = None if settings.state else Path(tempfile.mkdtemp(prefix="lambda-"))
        folder = settings.state or self._temporary
        assert folder is not None
        try:
            self.store = Store(folder.absolute())
            self.functions = self.store.table("function")
            self.layers = self.store.table("layer")
            self.mappings = self.store.table("mapping")
            self.signing = self.store.table("signing")
            self.providers = self.store.table("provider")
            self.archives = Archives(folder.absolute() / "code")
            self._forget_unused_code()
            self.counts = Counts()
            self.waiting = Waiting(
                self,
                self.functions,
                self.counts,
                folder=settings.state,
                region=settings.region,
                time_scale=settings.time_scale,
                say=settings.say,
            )
        except BaseException:
            self._remove_temporary()
            raise
        self.runtimes = Runtimes(settings, self.archives, folder.absolute() / "shared")
        self.fleets = Fleets(settings, self.runtimes)
        self.concurrency = Concurrency(settings.concurrency)
        self.calls = Calls(self.fleets, self.concurrency, self.counts, self.waiting.send)
        self.urls = Urls(settings, self)
        self.folders = Folders(self._saved, settings.say)
        self.endpoint = ""
        self.turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Service:
        try:
            for document in self.functions.values():
                await self._resume(document)
            await self.waiting.open()
            for identifier in self.mappings:
                self.map_again(identifier)
        except BaseException:
            await self.close()
            raise
        return self

    async def _resume(self, document: Document) -> None:
        """Do again for a function what runs between calls."""
        for configuration in document["versions"].values():
            await self._prepare(configuration)
        if document.get("reserved") is not None:
            self.concurrency.reserved[document["name"]] = document["reserved"]
        for qualifier in document["urls"]:
            await self.urls.open(document, qualifier)
        self.folders.watch(document)
        for qualifier in document["provisioned"]:
            self.spawn(self.provision(document, qualifier))

    def _forget_unused_code(self) -> None:
        used: set[str] = set()
        for document in (*self.functions.values(), *self.layers.values()):
            for version in document["versions"].values():
                used.update(version.get("_layers", ()))
                used.add(version.get("_code", {}).get("archive") or version.get("_archive") or "")
        self.archives.keep(used)

    async def close(self) -> None:
        """Shut everything down; no process and no temporary folder is left."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.folders.close()
        await self.waiting.close()
        await self.urls.close()
        await self.fleets.close()
        self.store.close()
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something in the background; it is cancelled at the end."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what there is

    def arn(self, name: str, qualifier: str | None = None) -> str:
        """The ARN of a function, of a version, or of an alias."""
        settings = self.settings
        bare = f"arn:aws:lambda:{settings.region}:{settings.account_id}:function:{name}"
        return f"{bare}:{qualifier}" if qualifier else bare

    def document(self, text: str, qualifier: str | None = None) -> tuple[Document, str | None]:
        """The function that a name or ARN means, and the qualifier. Raises ApiError."""
        found = parse_function(text)
        if found is None:
            raise invalid(f"{text[:170]!r} is neither a function's name nor its ARN")
        if qualifier and found.qualifier and qualifier != found.qualifier:
            raise invalid(
                "The derived qualifier from the function name does not match the specified "
                "qualifier."
            )
        qualifier = qualifier or found.qualifier
        document = self.functions.get(found.name)
        if document is None:
            raise not_found(f"Function not found: {self.arn(found.name, qualifier)}")
        return document, qualifier

    def version(self, document: Document, qualifier: str | None) -> Document:
        """The configuration that a version or alias names now. Raises ApiError."""
        name = qualifier or LATEST
        alias = document["aliases"].get(name)
        if alias is not None:
            name = _choose(alias)
        found: Document | None = document["versions"].get(name)
        if found is None:
            raise not_found(f"Function not found: {self.arn(document['name'], qualifier)}")
        return found

    def find(self, name: str, qualifier: str | None) -> Target:
        """What answers a call of a function. Raises ApiError."""
        document, qualifier = self.document(name, qualifier)
        configuration = self.version(document, qualifier)
        arn = self.arn(document["name"], qualifier)
        return Target(self.calls, configuration, arn, qualifier)

    def save(self, document: Document) -> None:
        """Keep a function that is new or has changed."""
        self.functions.save(document["name"], document)

    # what runs

    def _saved(self, name: str, what: str) -> None:
        self.spawn(self._reload(name, what))

    async def _reload(self, name: str, what: str) -> None:
        document = self.functions.get(name)
        if document is None:
            return
        if await self._prepare(document["versions"][LATEST]):
            self.fleets.retire(name, LATEST)
            self.settings.say(f"{name}: reloaded: {what}")

    async def _prepare(self, configuration: Document) -> bool:
        """Do what takes time before a version can start; say why if that fails."""
        try:
            await self.runtimes.prepare(configuration)
        except (UsageError, RunError) as error:
            self.settings.say(f"{configuration['FunctionName']}: {error}")
            return False
        return True

    def map_again(self, identifier: str) -> None:
        """Have an event source mapping do what its document says now."""
        self.spawn(self.waiting.map(identifier, self.mappings.get(identifier)))

    async def provision(self, document: Document, qualifier: str) -> None:
        """Initialise the environments of a provisioned concurrency, and note how that went."""
        wanted = document["provisioned"].get(qualifier)
        if wanted is None:
            return
        number = wanted["RequestedProvisionedConcurrentExecutions"]
        try:
            configuration = self.version(document, qualifier)
        except ApiError:
            return  # it has been deleted meanwhile
        reason = await self.fleets.provision(configuration, number)
        if document["provisioned"].get(qualifier) is not wanted:
            return  # it has been changed meanwhile
        wanted["Status"] = "FAILED" if reason else "READY"
        wanted["StatusReason"] = reason
        for key in ("Allocated", "Available"):
            wanted[f"{key}ProvisionedConcurrentExecutions"] = 0 if reason else number
        self.save(document)


def _choose(alias: Document) -> str:
    """The version that an alias means, by its weights."""
    weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    for version, weight in weights.items():
        if random.random() < weight:
            return str(version)
    return str(alias["FunctionVersion"])


def now() -> str:
    """The time as configurations have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def revision() -> str:
    """A new revision id."""
    return str(uuid.uuid4())
