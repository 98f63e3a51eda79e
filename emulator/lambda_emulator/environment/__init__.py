"""The life of an execution environment: its phases and its invocations."""
