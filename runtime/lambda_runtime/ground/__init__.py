"""What everything else stands on: settings, imports that user code cannot break, hooks."""
