"""The boot floor."""
