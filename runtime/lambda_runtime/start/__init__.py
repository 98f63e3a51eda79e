"""From exec to the handler's import: the bundle, the interpreter's path, names of AWS's client."""
