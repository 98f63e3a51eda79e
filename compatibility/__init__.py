"""Tries libraries, unchanged and at their newest, on this runtime and on AWS's."""
