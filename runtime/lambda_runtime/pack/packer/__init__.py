"""The command ``lambda-runtime pack``. It runs where functions are built, not in them."""
