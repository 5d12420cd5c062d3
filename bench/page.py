"""docs/benchmarks.md: each program renews its own section, which says what machine it was made on, and no other."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def machine() -> str:
    """What the figures were measured on, and how busy it was over the last five minutes."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    processor = platform.machine() if model is None else model[1]
    release = platform.release().split("-")[0]
    return (
        f"Machine: {os.cpu_count()} processors ({processor}), Linux {release}, Python {platform.python_version()}; "
        f"load {os.getloadavg()[1]:.1f}."
    )


def put_section(page: Path, heading: str, *paragraphs: str) -> None:
    """Put a section into the page, in the place of the one with this heading or at the end."""
    text = page.read_text() if page.exists() else ""
    sections = re.split(r"^(?=#)", text, flags=re.MULTILINE)
    new = "\n\n".join((heading, *paragraphs, machine())) + "\n"
    places = [index for index, section in enumerate(sections) if section.partition("\n")[0] == heading]
    if places:
        sections[places[0]] = new
    else:
        sections.append(new)
    page.write_text("\n\n".join(section.strip() for section in sections if section.strip()) + "\n")
