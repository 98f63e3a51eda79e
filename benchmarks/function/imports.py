"""Imports what a larger function imports: some hundred modules, all of the standard library."""

import gc
import importlib
import os

MODULES = (
    "argparse asyncio concurrent.futures csv ctypes dataclasses decimal email.message http.client"
    " inspect logging.config typing unittest.mock urllib.request xml.dom.minidom zipfile"
)

if os.environ.get("BENCHMARK_COLLECTOR") == "on":
    gc.enable()  # as if the runtime did not turn it off for the import of the function
for name in MODULES.split():
    importlib.import_module(name)


def handler(event: object, context: object) -> object:
    return event
