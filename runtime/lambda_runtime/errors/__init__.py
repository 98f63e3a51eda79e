"""What is said of an error: to the caller, in the log and to X-Ray."""
