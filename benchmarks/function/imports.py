"""Imports as much as a larger function: about a hundred modules of the standard library."""

import gc
import importlib
import os

MODULES = (
    "argparse asyncio concurrent.futures csv ctypes dataclasses decimal email.message http.client"
    " inspect logging.config typing unittest.mock urllib.request xml.dom.minidom zipfile"
)

if os.environ.get("BENCHMARK_COLLECTOR") == "on":
    gc.enable()  # undo the runtime, which turns it off during the function's import
for name in MODULES.split():
    importlib.import_module(name)


def handler(event: object, context: object) -> object:
    return event
