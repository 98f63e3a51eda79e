"""A package with a handler deep inside."""
