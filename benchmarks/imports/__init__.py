"""Functions with the imports that functions have, and how they are deployed: see `stage`."""
