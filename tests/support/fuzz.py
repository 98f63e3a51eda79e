"""How many inputs a fuzz test tries."""

import os


def examples(count: int) -> int:
    """The number of inputs: `count`, times the variable FUZZ, which `make test-all` sets to 10."""
    return count * int(os.environ.get("FUZZ", "1"))
