"""Lambda's side of the wire on a developer's machine: the APIs, the processes and the callers."""
