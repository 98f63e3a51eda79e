"""``python -m lambda_runtime app.handler`` and the command ``lambda-runtime``: an image's entry."""

import sys

from lambda_runtime import trusted


def main() -> None:
    """Run the function, as ``bootstrap`` does."""
    trusted.load("lambda_runtime.loop").main(sys.modules["__main__"].__file__ or sys.argv[0])


if __name__ == "__main__":
    main()
