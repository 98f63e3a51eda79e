"""The wire to Lambda: messages, connections, and the client of the Runtime API."""
