"""Runs what the pages show. Read `page`, then `shell`, then `shown`, then `places`."""
