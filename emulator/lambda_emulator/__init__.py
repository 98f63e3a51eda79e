"""Lambda's side of the wire on a developer's machine: the APIs, the processes and the callers."""

from __future__ import annotations

#: The runtime's own: what is tried here and what is deployed have one version.
__version__: str


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module 'lambda_emulator' has no attribute {name!r}")
    from lambda_emulator.project import runtime

    return runtime.version()
