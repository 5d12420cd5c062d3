"""The fs floor."""
