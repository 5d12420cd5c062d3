"""``bootpath overlay``: what a persistent overlay holds, and what becomes of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from bootpath.cli.arguments import add_json, named, refer_to_family
from bootpath.cli.failures import BAD_VERDICT, UsageError
from bootpath.core.printable import printable, printable_lines

if TYPE_CHECKING:
    from bootpath.block.overlay.check import LostData, OverlayCheck, OverlayRepair
    from bootpath.core.reasons import Explanation

HELP = "show, check, commit or discard a persistent overlay (bootpath serve --overlay FILE)"
EPILOG = """\
commit, discard and check --repair only print what they would do; with --apply they do it. An interrupted commit can be
run again.

examples:
  bootpath overlay info changes.overlay
  bootpath overlay check changes.overlay
  bootpath overlay check changes.overlay --repair --apply
  bootpath overlay commit changes.overlay disk.img --apply
  bootpath overlay discard changes.overlay --apply

exit codes: 0 good, 1 failed, 2 usage, 3 the overlay is damaged
"""
_USE_APPLY = "use --apply to do it"
CHECK = """\
Read all of an overlay, and say what is damaged: the cluster of the file and the bytes of the disk. Data without
checksums cannot be checked, only read. An overlay that is in use is refused.
"""
CHECK_EPILOG = """\
examples:
  bootpath overlay check changes.overlay
  bootpath overlay check changes.overlay --repair
  bootpath overlay check changes.overlay --repair --apply

exit codes: 0 sound, 1 failed, 2 usage, 3 the overlay is damaged
"""


def configure(commands: Any, name: str) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        name, help=HELP, description=HELP, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    info = actions.add_parser(
        "info", help="show what it holds, and its base", description="Show what an overlay holds."
    )
    check = actions.add_parser(
        "check",
        help="read all of it and say what is damaged",
        description=CHECK,
        epilog=CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commit = actions.add_parser(
        "commit",
        help="write it into its base, then empty it",
        description="Write an overlay into its base, then empty it.",
    )
    discard = actions.add_parser(
        "discard", help="drop all changes", description="Drop all changes that an overlay holds."
    )
    for action in (info, check, commit, discard):
        action.add_argument("overlay", metavar="OVERLAY", type=named, help="overlay file")
    commit.add_argument("base", metavar="BASE", type=named, help="the disk that it was made over")
    commit.add_argument("--raw", action="store_true", help="write to BASE whatever it begins with")
    check.add_argument("--repair", action="store_true", help="repair what can be repaired; lost data stays lost")
    for action in (check, commit, discard):
        action.add_argument("--apply", action="store_true", help="do it (default: only print what would be done)")
    for action in (info, check):
        add_json(action)
    refer_to_family(parser, actions)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show, check, commit or discard."""
    return {"info": _info, "check": _check, "commit": _commit, "discard": _discard}[options.action](options)


def _info(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from bootpath.block.overlay.commit import overlay_info
    from bootpath.cli.console import emit, emit_json

    info = asdict(overlay_info(options.overlay))
    fields = {name: _plain(value) for name, value in info.items() if not isinstance(value, dict)}
    if options.json:
        emit_json(fields)
    else:
        emit(printable_lines(f"{_label(name):16} {_shown(name, value)}" for name, value in fields.items()))
    return 0


def _label(name: str) -> str:
    return name.removesuffix("_bytes").replace("_", " ")


def _shown(name: str, value: object) -> object:
    from bootpath.report.units import format_bytes

    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_bytes(value) if isinstance(value, int) and name.endswith("_bytes") else value


def _plain(value: object) -> object:
    """A field as JSON has it: an enum by its name, a UUID as text."""
    if isinstance(value, Enum):
        return value.name.lower().replace("_", "-")
    return value if isinstance(value, int | str | None) else str(value)


def _commit(options: argparse.Namespace) -> int:
    from bootpath.block.overlay.commit import commit_overlay
    from bootpath.cli.console import emit
    from bootpath.report.units import format_bytes

    size = format_bytes(commit_overlay(options.overlay, options.base, apply=options.apply, raw=options.raw))
    if options.apply:
        emit(printable(f"{options.base}: {size} written, {options.overlay} is empty"))
    else:
        emit(printable(f"would write {size} into {options.base}, then empty {options.overlay}; {_USE_APPLY}"))
    return 0


def _discard(options: argparse.Namespace) -> int:
    from bootpath.block.overlay.commit import discard_overlay
    from bootpath.cli.console import emit
    from bootpath.report.units import format_bytes

    size = format_bytes(discard_overlay(options.overlay, apply=options.apply))
    if options.apply:
        emit(printable(f"{options.overlay}: {size} of changes dropped"))
    else:
        emit(printable(f"would drop {size} of changes in {options.overlay}; {_USE_APPLY}"))
    return 0


def _check(options: argparse.Namespace) -> int:
    from bootpath.block.overlay.check import check_overlay, repair_overlay
    from bootpath.cli.console import emit, emit_json

    if options.apply and not options.repair:
        raise UsageError("--apply goes with --repair: a check changes nothing", where="bootpath overlay check")
    repaired: Sequence[Explanation[OverlayRepair]] = ()
    if options.apply:
        repaired, result = repair_overlay(options.overlay)
    else:
        result = check_overlay(options.overlay)
    if options.json:
        emit_json(_check_json(result, repaired))
    else:
        lines = [f"done: {repair}" for repair in repaired]
        emit(printable_lines([*lines, *_check_lines(options, result)]))
    return BAD_VERDICT if result.damaged else 0


def _check_lines(options: argparse.Namespace, result: OverlayCheck) -> Iterator[str]:
    from bootpath.report.units import format_bytes

    lost = 0
    for finding in result.findings:
        place = ""
        if finding.lost is not None:
            disk, cluster = finding.lost.disk, finding.lost.cluster
            lost += disk.length
            last = cluster + finding.lost.clusters - 1
            clusters = f"cluster {cluster}" if last == cluster else f"clusters {cluster} to {last}"
            place = f"bytes {disk.offset} to {disk.end - 1} of the disk, {clusters} of the file: "
        yield f"{'damaged' if finding.damage else 'not finished'}: {place}{finding.fault}"
    if options.repair and not options.apply:
        yield from (f"would {repair}; {_USE_APPLY}" for repair in result.repairs)
    if options.repair and result.damaged and not result.repairs:
        yield "nothing of this can be repaired"
    if result.held_bytes is None:
        verdict = "damaged: nothing can be read or repaired"
    elif lost:
        size = format_bytes(lost)
        verdict = f"damaged, {size} of the disk are lost: reads of them fail with EIO until they are written again"
    elif result.damaged:
        verdict = "damaged, nothing is lost" if result.repairs else "damaged, and cannot be repaired"
    else:
        verdict = "sound"
    seen = "" if result.checksums is not False else " (it has no checksums: changed data is not noticed)"
    yield f"{options.overlay}: {verdict}{seen}"


def _check_json(result: OverlayCheck, repaired: Sequence[Explanation[OverlayRepair]]) -> dict[str, Any]:
    from bootpath.report.inspection.contentsjson import reason_json

    return {
        "damaged": result.damaged,
        "uuid": None if result.uuid is None else str(result.uuid),
        "checksums": result.checksums,
        "closed": result.closed,
        "held_bytes": result.held_bytes,
        "findings": [
            {
                "fault": reason_json(finding.fault),
                "damage": finding.damage,
                "lost": None if finding.lost is None else _lost_json(finding.lost),
                "repair": None if finding.repair is None else reason_json(finding.repair),
            }
            for finding in result.findings
        ],
        "repaired": [reason_json(repair) for repair in repaired],
    }


def _lost_json(lost: LostData) -> dict[str, int]:
    return {
        "cluster": lost.cluster,
        "clusters": lost.clusters,
        "offset": lost.disk.offset,
        "length": lost.disk.length,
    }
