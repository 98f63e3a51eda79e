"""Runs ``python -m lambda_runtime app.handler``, and the command ``lambda-runtime`` of an image.

``lambda-runtime pack …`` prepares a function's imports: see ``pack.packer``.
"""

import sys

from lambda_runtime.ground import trusted


def main() -> None:
    """Run the function, as ``bootstrap`` does; or pack one."""
    if sys.argv[1:2] == ["pack"]:
        trusted.load("lambda_runtime.pack.packer.cli").run()
    trusted.load("lambda_runtime.entry").main(sys.modules["__main__"].__file__ or sys.argv[0])


if __name__ == "__main__":
    main()
