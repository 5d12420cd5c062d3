"""What all pages of ``--json`` share: the version of their schemas, and how an error is written.

Source: docs/schemas; the error object is docs/schemas/error.json.
"""

from __future__ import annotations

import errno
from typing import Any

from bootpath.core.errors import Error

SCHEMA_VERSION = 1


def page(value: dict[str, Any]) -> dict[str, Any]:
    """The page with its version at the head."""
    return {"schema_version": SCHEMA_VERSION, **value}


def error_json(fault: BaseException) -> dict[str, Any]:
    """The fields of an error, each null where it has none; those of a system call's error where it is one."""
    if isinstance(fault, OSError):
        return _fields(fault, fault.strerror or str(fault), where=fault.filename, number=fault.errno)
    if not isinstance(fault, Error):
        return _fields(fault, str(fault))
    return _fields(
        fault,
        fault.what,
        where=fault.where,
        expected=fault.expected,
        found=fault.found,
        spec=fault.spec,
        hint=fault.hint,
        number=getattr(fault, "errno", None),
    )


def _fields(
    fault: BaseException,
    what: str,
    *,
    where: object = None,
    expected: object = None,
    found: object = None,
    spec: str | None = None,
    hint: str | None = None,
    number: int | None = None,
) -> dict[str, Any]:
    return {
        "type": type(fault).__name__,
        "what": what,
        "where": None if where is None else str(where),
        "expected": None if expected is None else str(expected),
        "found": None if found is None else str(found),
        "spec": spec,
        "hint": hint,
        "errno": None if number is None else errno.errorcode.get(number, str(number)),
    }
