"""The operations of the Lambda API, one module a subject; ``table`` has them all."""
