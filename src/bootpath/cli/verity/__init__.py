"""``bootpath verity``."""

from bootpath.cli.verity.command import configure

__all__ = ["configure"]
