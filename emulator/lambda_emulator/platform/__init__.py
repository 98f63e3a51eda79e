"""A function's surroundings: its processes, its extensions, their output, and its telemetry."""
