"""``bootpath repair``: a damaged copy of a partition table, from the other one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_disk, add_json
from bootpath.cli.disks import open_disk
from bootpath.cli.failures import BAD_VERDICT
from bootpath.core.printable import printable_lines

if TYPE_CHECKING:
    from bootpath.image.tablerepair import TableRepair

HELP = "repair a partition table (GPT) of which one copy is good"
EPILOG = """\
Only what would be written is printed; with --apply it is written. Nothing else of the disk is changed. Nobody else
should use the disk meanwhile.

examples:
  bootpath repair disk.img
  bootpath repair disk.img --apply

exit codes: 0 nothing is damaged any more, 1 failed, 2 usage, 3 the table is damaged
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_disk(parser)
    parser.add_argument("--apply", action="store_true", help="do it (default: only print what would be done)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Plan the repair, or do it; 3 when something is left to do."""
    from bootpath.cli.console import emit, emit_json
    from bootpath.image.tablerepair import apply_repair, plan_repair

    with closing(open_disk(options.disk, options, writable=options.apply)) as disk:
        repair = plan_repair(disk)
        after = apply_repair(disk, repair) if options.apply and repair.records else None
    if options.json:
        emit_json(_json(repair, applied=after is not None))
    else:
        emit(printable_lines(_lines(repair, applied=after is not None)))
    return BAD_VERDICT if repair.records and after is None else 0


def _lines(repair: TableRepair, *, applied: bool) -> Iterator[str]:
    from bootpath.core.iolog import Write
    from bootpath.report.text import gpt_heading

    yield repair.name
    yield from gpt_heading(repair.gpt)
    if not repair.records:
        yield "Verdict: nothing to repair"
        return
    yield from (f"{'done' if applied else 'would'}: {step}" for step in repair.steps)
    yield from (f"  {each.length} bytes at byte {each.offset}" for each in repair.records if isinstance(each, Write))
    yield "Verdict: repaired" if applied else "Verdict: damaged; use --apply to repair it"


def _json(repair: TableRepair, *, applied: bool) -> dict[str, Any]:
    from bootpath.core.iolog import Write
    from bootpath.report.inspection.contentsjson import reason_json

    faults = (repair.gpt.primary_fault, repair.gpt.backup_fault)
    return {
        "disk": repair.name,
        "disk_guid": str(repair.gpt.disk_guid),
        "verdict": repair.gpt.verdict.value,
        "faults": [str(fault) for fault in faults if fault is not None],
        "steps": [reason_json(step) for step in repair.steps],
        "writes": [
            {"offset": each.offset, "length": each.length} for each in repair.records if isinstance(each, Write)
        ],
        "applied": applied,
    }
