"""Functions with typical imports, and their deployment (see ``stage``)."""
