"""``bootpath repair``: a damaged copy of a partition table, from the other one."""

from bootpath.cli.repair.command import configure

__all__ = ["configure"]
