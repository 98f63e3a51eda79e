"""The life of an execution environment: its phases, and which invocation it has when."""
