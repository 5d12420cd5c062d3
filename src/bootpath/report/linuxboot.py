"""The decisions of a boot of an image-based Linux, as a tree for a terminal and as JSON; and the boot itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bootpath.core.printable import Printable, printable_lines
from bootpath.formats.partitions.imagepolicy import pack_image_policy
from bootpath.report.bootentries import describe_count
from bootpath.report.inspection.contents import describe_content, describe_protection, describe_type
from bootpath.report.inspection.contentsjson import choice_json, reason_json
from bootpath.report.inspection.decision import describe_verdict
from bootpath.report.text import columns
from bootpath.report.timeline import outcome_json, reads_json, reads_lines, timeline_lines
from bootpath.report.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from bootpath.boot.linux.choice import LinuxRequest
    from bootpath.boot.linux.machine import LinuxRun
    from bootpath.boot.linux.result import Attempt, LinuxBoot, LinuxPlan
    from bootpath.image.entries.menu import BootMenu, FoundEntry

_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of the tree and what hangs below it."""

    text: str
    below: tuple[Branch, ...] = ()


def linux_boot_json(name: str, boot: LinuxBoot) -> dict[str, Any]:
    """``bootpath boot --dry-run --json`` (docs/schemas/linuxboot.json); a boot in a machine has a `run` as well."""
    request, plan = boot.request, boot.plan
    return {
        "disk": name,
        "size_bytes": boot.contents.size_bytes,
        "policy": pack_image_policy(request.boot_policy),
        "next_candidate": request.next_candidate.value,
        "verdict": boot.verdict.value,
        "refusal": None if boot.refusal is None else reason_json(boot.refusal),
        "notes": [reason_json(note) for note in boot.order.notes],
        "choice": choice_json(boot),
        "attempts": [_attempt_json(attempt) for attempt in boot.attempts],
        "chosen": None if boot.chosen is None else boot.chosen.data.path,
        "runs": None if plan is None else _plan_json(plan),
        "run": None,
    }


def linux_run_json(name: str, run: LinuxRun) -> dict[str, Any]:
    """``bootpath boot --json`` of a Linux image (docs/schemas/linuxboot.json)."""
    assert run.boot is not None
    return {
        **linux_boot_json(name, run.boot),
        "run": {
            "seconds_to_kernel": run.seconds_to_kernel,
            "seconds_to_pivot": run.seconds_to_pivot,
            "kernel_seconds_to_pivot": None if run.pivot is None else run.pivot.seconds,
            "loader_bytes": run.loader_bytes,
            "guest_bytes": run.guest_bytes,
            "written_bytes": run.written_bytes,
            "earlier": list(run.earlier),
            "reads": reads_json(run.reads),
            **outcome_json(run),
        },
    }


def render_linux_boot(name: str, boot: LinuxBoot) -> Printable:
    """``bootpath boot --dry-run``: every decision, and the verdict in the last line."""
    return printable_lines(_boot_lines(name, boot))


def render_linux_run(name: str, run: LinuxRun) -> Printable:
    """``bootpath boot`` of a Linux image."""
    assert run.boot is not None
    lines = [*_boot_lines(name, run.boot), *timeline_lines(run.steps)]
    lines += [f"Before: {failure}" for failure in run.earlier]
    if run.reads:
        until = "until the root was mounted" if run.seconds_to_pivot is not None else "in all"
        loader, guest = format_bytes(run.loader_bytes), format_bytes(run.guest_bytes)
        lines.append(f"Read {until}: {loader} by the loader, {guest} by the guest")
        lines += reads_lines(run.reads)
    if run.seconds_to_pivot is not None and run.pivot is not None:
        lines.append(
            f"Root mounted after {format_seconds(run.seconds_to_pivot)}, "
            f"{format_seconds(run.pivot.seconds)} after the kernel started"
        )
    lines.append("Verdict: does not boot" if run.failure is not None else f"Boots, {run.boot.verdict.value}")
    return printable_lines(lines)


def _boot_lines(name: str, boot: LinuxBoot) -> list[str]:
    tree = Branch(f"{name}: {format_bytes(boot.contents.size_bytes)}", tuple(_decisions(boot)))
    return [*_drawn(tree), f"Verdict: {describe_verdict(boot)}"]


def _decisions(boot: LinuxBoot) -> Iterator[Branch]:
    choice = boot.order.choice
    yield Branch("found", tuple(_found(boot)))
    if choice.candidates:
        rows = [
            (each.data.path or "disk", each.label, describe_protection(each), str(each.excluded or ""))
            for each in choice.candidates
        ]
        yield Branch("could be the root", tuple(Branch(line) for line in columns(rows, indent="")))
    yield Branch(f"policy: {_policy(boot.request)}", tuple(Branch(str(note)) for note in boot.order.notes))
    if boot.order.refusal is not None:
        yield Branch(f"nothing is tried: {boot.order.refusal}")
    for attempt in boot.attempts:
        yield Branch(f"tried {attempt.where}", tuple(_attempt(attempt)))


def _policy(request: LinuxRequest) -> str:
    if request.policy is not None:
        return pack_image_policy(request.policy)
    if request.certificates:
        return "only what is signed, and what is in it (a certificate was given)"
    if request.root_hash is not None:
        return "only the root with the given root hash, and what is in it"
    return "anything (no certificate and no root hash were given)"


def _found(boot: LinuxBoot) -> Iterator[Branch]:
    gpt, mbr = boot.contents.root.gpt, boot.contents.root.mbr
    if gpt is not None:
        yield Branch(f"GPT {gpt.disk_guid}: {gpt.verdict.value}")
    if mbr is not None:
        yield Branch(f"MBR {mbr.signature}")
    rows = [
        (node.path, describe_type(node), node.name, format_bytes(node.size_bytes), describe_content(node))
        for node in boot.contents.nodes()
        if node.path
    ]
    if not rows:
        yield Branch(describe_content(boot.contents.root))
    for line in columns(rows, indent="", right=frozenset({3})):
        yield Branch(line)


def _attempt(attempt: Attempt) -> Iterator[Branch]:
    candidate = attempt.candidate
    if candidate is not None and attempt.table:
        yield Branch(f"opened through {attempt.table}: {describe_protection(candidate)}")
    if attempt.checked:
        yield Branch("all of it was read and matches the root hash")
    entry = None if attempt.plan is None else attempt.plan.entry
    for menu in attempt.menus:
        yield from _menu(menu, entry)
    if attempt.plan is not None:
        yield from _counting(attempt.plan)
        for warning in attempt.plan.warnings:
            yield Branch(f"warning: {warning}")
        yield Branch("runs", tuple(_parts(attempt.plan)))
        yield Branch("command line", tuple(_parameters(attempt.plan)))
    if attempt.failure is not None:
        yield Branch(f"FAILED: {attempt.failure}")


def _menu(menu: BootMenu, chosen: FoundEntry | None) -> Iterator[Branch]:
    for found in menu.entries:
        mark = "chosen" if found is chosen else "not chosen"
        where = f"{found.source.role.value} {found.source.path}".rstrip()
        what = f"entry {found.entry.id} ({found.entry.kind.value}, {where})"
        count = describe_count(found.entry)
        warnings = tuple(Branch(f"warning: {warning}") for warning in found.warnings)
        yield Branch(f"{what}: {mark}{count and f', {count}'}", warnings)
    for excluded in menu.excluded:
        where = f"{excluded.source.role.value} {excluded.source.path or excluded.source.location}".rstrip()
        yield Branch(f"excluded {where}: {excluded.why}")


def _counting(plan: LinuxPlan) -> Iterator[Branch]:
    """That a try is not counted, which a boot loader does by renaming."""
    if plan.counted_name is not None:
        name = plan.entry.source.path.rpartition("/")[2]
        yield Branch(
            "this try is not counted, since nothing is written to the image: "
            f"a loader that counts would rename {name} to {plan.counted_name}"
        )


def _parts(plan: LinuxPlan) -> Iterator[Branch]:
    rows = [
        (
            part.what,
            part.origin,
            "" if part.size_bytes is None else format_bytes(part.size_bytes),
            "" if part.sha256 is None else f"sha256 {part.sha256[:_HASH_DIGITS]}…",
            f"{part.why.reason.assurance.value}: {part.why}",
        )
        for part in plan.parts
    ]
    for line in columns(rows, indent="", right=frozenset({2})):
        yield Branch(line)


def _parameters(plan: LinuxPlan) -> Iterator[Branch]:
    rows = [
        (f"[{each.source.value}]", each.text + ("" if each.reason is None else f"  ({each.reason.value})"))
        for each in plan.parameters
    ]
    for line in columns(rows, indent=""):
        yield Branch(line)


def _drawn(branch: Branch, stem: str = "") -> list[str]:
    """The branch and what is below it, with lines between."""
    lines = [branch.text] if not stem else []
    for number, child in enumerate(branch.below, start=1):
        last = number == len(branch.below)
        lines.append(f"{stem}{'└─' if last else '├─'} {child.text}")
        lines += _drawn(Branch("", child.below), stem + ("   " if last else "│  ")) if child.below else []
    return lines


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "path": None if attempt.candidate is None else attempt.candidate.data.path,
        "table": attempt.table or None,
        "verified_whole": attempt.checked,
        "entries": [
            {
                "id": found.entry.id,
                "kind": found.entry.kind.value,
                "place": found.source.role.value,
                "path": found.source.path,
                "bad": found.entry.bad,
                "tries_left": None if found.entry.counter is None else found.entry.counter.tries_left,
                "tries_done": None if found.entry.counter is None else found.entry.counter.tries_done,
                "chosen": attempt.plan is not None and attempt.plan.entry is found,
            }
            for menu in attempt.menus
            for found in menu.entries
        ],
        "excluded": [
            {"place": each.source.role.value, "path": each.source.path or None, **reason_json(each.why)}
            for menu in attempt.menus
            for each in menu.excluded
        ],
        "failure": None if attempt.failure is None else reason_json(attempt.failure),
    }


def _plan_json(plan: LinuxPlan) -> dict[str, Any]:
    return {
        "entry": plan.entry.entry.id,
        "counted_name": plan.counted_name,
        "parts": [
            {
                "what": part.what,
                "origin": part.origin,
                "size_bytes": part.size_bytes,
                "sha256": part.sha256,
                "assurance": part.why.reason.assurance.value,
                **reason_json(part.why),
            }
            for part in plan.parts
        ],
        "command_line": plan.command_line,
        "parameters": [
            {
                "parameter": each.text,
                "source": each.source.value,
                "reason": None if each.reason is None else each.reason.value,
            }
            for each in plan.parameters
        ],
    }
