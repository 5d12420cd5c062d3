"""The image floor."""
