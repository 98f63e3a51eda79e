"""The lowest floor: settings, imports that user code cannot break, process, invocations, hooks."""
