"""The checkout that the tests run in, and the schemas in its docs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs/schemas"


def schema(name: str) -> dict[str, Any]:
    """The schema ``docs/schemas/<name>.json``."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return found
