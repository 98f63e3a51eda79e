"""What the handler beside it imports."""

WORD = "package"
