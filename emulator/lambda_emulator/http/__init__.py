"""An HTTP server that can inject faults into its answers."""
