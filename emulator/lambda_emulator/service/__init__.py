"""The Lambda service: its API, what it keeps about functions, and how it runs them."""
