"""Takes its time to be imported, the first time."""

import os
import time
from pathlib import Path
from typing import Any

marker = Path(os.environ["MARKER"])
if not marker.exists():
    marker.touch()
    time.sleep(30)


def handler(event: Any, context: Any) -> Any:
    return "awake"
