"""``bootpath dm``."""

from bootpath.cli.dm.command import configure

__all__ = ["configure"]
