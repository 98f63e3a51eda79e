"""A handler that imports nothing but sys."""

import sys
from typing import Any


def modules(event: Any, context: Any) -> Any:
    return sorted(sys.modules)
