"""The kernel command line: its parameters, and those that name the root."""
