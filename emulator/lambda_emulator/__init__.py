"""Lambda's part on a developer's machine: its APIs, and the processes of a function."""
