"""The parts of docs/ that are generated."""
