"""Write src/bootpath/formats/partitions/dpstypes.py from the tables of the Discoverable Partitions Specification.

    python docs/generate_dps.py discoverable_partitions_specification.md COMMIT

The specification is in https://github.com/uapi-group/specifications, in the directory ``specs``; COMMIT is recorded in
the module. Role and architecture come from the macro beside each UUID, or from the name where there is none.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

MODULE = Path(__file__).parents[1] / "src/bootpath/formats/partitions/dpstypes.py"
ROW = re.compile(r"^\| _(?P<name>.+?)_ \| `(?P<uuid>[0-9a-f-]{36})`(?: `SD_GPT_(?P<macro>\w+)`)? \|", re.MULTILINE)
WITHOUT_MACRO = re.compile(
    r"(?P<root>Root|`/usr/`) (?P<verity>Verity )?(?P<sig>Signature )?Partition \(.*\((?P<arch>\w+)\)\)"
)

HEAD = '''"""The partition types of the Discoverable Partitions Specification, as rows of UUID, role and architecture.

Source: UAPI.2 "Defined Partition Type UUIDs", uapi-group/specifications at commit
{commit}. Made by docs/generate_dps.py: change that, not this.
"""

from __future__ import annotations

DPS_ROWS: tuple[tuple[str, str, str], ...] = (
'''


def role_and_architecture(name: str, macro: str | None) -> tuple[str, str]:
    """What systemd calls the two: ("root-verity-sig", "x86-64")."""
    if macro is None:
        match = WITHOUT_MACRO.fullmatch(name)
        assert match is not None, name
        words = ["root" if match["root"] == "Root" else "usr"]
        words += ["verity"] if match["verity"] else []
        words += ["sig"] if match["sig"] else []
        return "-".join(words), match["arch"]
    words = macro.lower().split("_")
    if words[0] not in ("root", "usr"):
        return "-".join(words), ""
    suffix = [word for word in words if word in ("verity", "sig")]
    return "-".join([words[0], *suffix]), "-".join(words[1 : len(words) - len(suffix)])


def main() -> None:
    """Read the specification, write the module."""
    text, commit = Path(sys.argv[1]).read_text(), sys.argv[2]
    lines = [HEAD.format(commit=commit)]
    for match in ROW.finditer(text):
        role, architecture = role_and_architecture(match["name"], match["macro"])
        lines.append(f'    ("{match["uuid"]}", "{role}", "{architecture}"),\n')
    MODULE.write_text("".join([*lines, ")\n"]))


if __name__ == "__main__":
    main()
