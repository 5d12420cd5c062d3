"""``bootpath boot``."""

from bootpath.cli.boot.command import configure

__all__ = ["configure"]
