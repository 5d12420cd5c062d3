"""The block floor."""
