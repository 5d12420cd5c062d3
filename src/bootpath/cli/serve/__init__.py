"""``bootpath serve``."""

from bootpath.cli.serve.command import configure

__all__ = ["configure"]
