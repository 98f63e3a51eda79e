"""Describes errors for the caller, the log and X-Ray."""
