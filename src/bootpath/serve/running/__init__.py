"""Serving until something ends it. Read `settings`, then `run`, which uses all the others."""
