"""The formats floor."""
