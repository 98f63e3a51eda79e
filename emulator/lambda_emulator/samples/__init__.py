"""Sample events of the services that invoke functions: real in shape, and changed by parameters."""
