"""SOURCE_DATE_EPOCH: the time that a reproducible build takes instead of now.

Source: https://reproducible-builds.org/specs/source-date-epoch/ ("the value MUST be an ASCII representation of an
integer with no fractional component").
"""

from __future__ import annotations

from collections.abc import Mapping

from bootpath.core.errors import Error

VARIABLE = "SOURCE_DATE_EPOCH"


def source_date_epoch(environment: Mapping[str, str]) -> int | None:
    """The seconds since 1970 that the environment asks for, None where it does not. Raises Error for a bad value."""
    text = environment.get(VARIABLE)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise Error("the value is not a number of seconds", where=VARIABLE, found=repr(text))
    return int(text)
