"""An HTTP server whose answers can go wrong on purpose."""
