"""What surrounds a function: its processes, its extensions, what they write, and its telemetry."""
