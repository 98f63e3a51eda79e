"""The subcommands of ``lambda-emulator``, one module each; ``table`` lists them."""
