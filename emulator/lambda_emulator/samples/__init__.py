"""Sample events of the services that invoke functions: of real shape, with values to change."""
