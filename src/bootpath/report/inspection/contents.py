"""What is on a disk as a tree for a terminal, the candidates for its root, and the verdict in one line."""

from __future__ import annotations

from collections.abc import Iterator

from bootpath.boot.inspection.values import Check, LinuxInspection
from bootpath.core.printable import Printable, printable_lines
from bootpath.formats.partitions.imagepolicy import Protection
from bootpath.image.contents.nodes import Node, NodeKind, NodeReason
from bootpath.image.roots.candidates import Candidate, SignatureCheck
from bootpath.report.inspection.decision import describe_decision
from bootpath.report.inspection.medium import medium_lines, medium_verdict
from bootpath.report.text import columns, container_lines, gpt_heading, mbr_heading
from bootpath.report.units import format_bytes, format_offset

_HASH_DIGITS = 16
_CHECKS = {
    Check.HASH_TREE: ("Verified", "against its hash tree"),
    Check.ERASEBLOCK_CRCS: (
        "Undamaged",
        "by the CRCs of its eraseblocks, which do not show what was changed on purpose",
    ),
}


def render_contents(inspection: LinuxInspection) -> Printable:
    """``bootpath inspect`` of a disk without a RedoxFS."""
    choice = inspection.choice
    lines = [f"{inspection.name}: {format_bytes(inspection.size_bytes)}", *container_lines(inspection.contents)]
    root = inspection.contents.root
    if root.gpt is not None:
        lines += gpt_heading(root.gpt)
        lines += [f"  {describe_content(root)}"] * bool(root.superblocks)
    elif root.mbr is not None:
        lines.append(mbr_heading(root.mbr))
        lines += [f"  {describe_content(root)}"] * bool(root.superblocks or root.faults)
    elif root.superblocks or root.faults or root.named:
        lines.append(f"  {describe_content(root)}")
    lines += columns(list(_rows(root, "")), indent="  ", right=frozenset({2, 3}))
    if inspection.medium is not None:
        lines += medium_lines(inspection.medium)
    if choice.candidates:
        lines.append("Candidates")
        lines += columns([_candidate_row(candidate, inspection) for candidate in choice.candidates])
    lines += [f"Warning: {warning}" for warning in inspection.warnings]
    lines += [
        f"{_CHECKS[each.against][0]}: all of {each.path}, {_CHECKS[each.against][1]}" for each in inspection.checked
    ]
    verdict, *others = verdict_lines(inspection)
    lines.append(f"Verdict: {verdict}")
    lines += [f"  and: {line}" for line in others]
    return printable_lines(lines)


def verdict_lines(inspection: LinuxInspection) -> list[str]:
    """What would be the root and how sure that is, and what boots it; or why nothing does."""
    roots = [f"{_place(each)} would be {_use(each)}: {_assurance(each, inspection)}" for each in inspection.mounted]
    if inspection.problems:
        first, *others = map(str, inspection.problems)
        return [f"does not boot: {first}", *others, *roots]
    decision = describe_decision(inspection.boot)
    if inspection.medium is not None and inspection.medium.ways:
        return [
            medium_verdict(inspection.medium),
            f"loaded by bootpath (boot without --firmware): {decision}",
        ]
    return [*roots, decision]


def _assurance(candidate: Candidate, inspection: LinuxInspection) -> str:
    """How it is protected, and whether its data was compared with the hash that is known of it."""
    unread = candidate.hashes is not None and not inspection.was_read(candidate.data.path)
    return describe_protection(candidate) + ("; its data was not read (--full reads and verifies it)" if unread else "")


def describe_protection(candidate: Candidate) -> str:
    """How what would be mounted is protected, and who says so."""
    if candidate.protection is Protection.SIGNED:
        assert candidate.signer is not None
        return f"root hash signed by {candidate.signer.subject}"
    if candidate.protection is Protection.VERITY:
        assert candidate.root_hash_source is not None
        unchecked = candidate.signature_check is SignatureCheck.UNCHECKED
        signature = ", signature not checked (no --certificate)" if unchecked else ""
        return f"verity, root hash by {candidate.root_hash_source.value}{signature}"
    if candidate.protection is Protection.ENCRYPTED:
        return "encrypted, so only with its key; not authenticated"
    unused = " (the policy asks for no more)" if candidate.hashes is not None else ""
    return f"unprotected{unused}"


def describe_type(node: Node) -> str:
    """What the table says of a partition; what a volume is."""
    if node.record is not None:
        return " ".join((node.record.type_name, node.record.partuuid, *node.flags))
    if node.partition is None:
        return node.kind.value
    name = node.partition.type_name if node.type is None else node.type.name
    return " ".join((name, *node.flags))


def describe_content(node: Node) -> str:
    """What was found in a place."""
    parts = []
    for each in node.superblocks:
        if each.kind == "DM_verity_hash" and node.tree is not None:
            continue
        words = [each.kind, each.version, f'"{each.label}"' if each.label else "", each.uuid or ""]
        parts.append(" ".join(word for word in words if word))
    if node.tree is not None:
        parameters = node.tree.superblock.parameters
        root_hash = "" if node.tree.root_hash is None else f", root hash {node.tree.root_hash.hex()[:_HASH_DIGITS]}…"
        parts.append(f"verity {parameters.algorithm} over {format_bytes(parameters.data_bytes)}{root_hash}")
    if node.signature is not None:
        parts.append(f"signature of root hash {node.signature.root_hash.hex()[:_HASH_DIGITS]}…")
    if node.gpt is not None and node.kind is not NodeKind.DISK:
        parts.append(f"GPT, {node.gpt.verdict.value}")
    if node.mbr is not None and node.kind is not NodeKind.DISK:
        parts.append(mbr_heading(node.mbr))
    if node.use is not None:
        name = f" ({node.use.name})" if node.use.name else ""
        parts.append(f"{node.use}{name}")
    for named in node.named:
        parts.append(f"recognised, not supported: {named}{named.hint and f'; {named.hint}'}")
    if node.fault is not None:
        sound = node.fault.reason is NodeReason.UNSUPPORTED
        parts.append(f"{'not read' if sound else 'BAD'}: {node.fault}")
    if node.empty:
        parts.append("empty")
    return "; ".join(parts) or "-"


def _rows(node: Node, indent: str) -> Iterator[tuple[str, ...]]:
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield (
            f"{indent}{'└─' if last else '├─'} {child.path}",
            child.name,
            "" if child.offset_bytes is None else format_offset(child.offset_bytes),
            format_bytes(child.size_bytes),
            describe_type(child),
            describe_content(child),
        )
        yield from _rows(child, f"{indent}{'   ' if last else '│  '}")


def _candidate_row(candidate: Candidate, inspection: LinuxInspection) -> tuple[str, ...]:
    chosen = any(each.data.path == candidate.data.path for each in inspection.mounted)
    if candidate.excluded is not None and not chosen:
        state, why = "excluded", str(candidate.excluded)
    else:
        state = "chosen" if chosen else "ambiguous" if candidate in inspection.choice.ambiguous else "possible"
        why = describe_protection(candidate)
    beside = [f"{word} {node.path}" for word, node in _beside(candidate)]
    architecture = "" if candidate.architecture is None else candidate.architecture.value
    return (
        state,
        candidate.data.path or "disk",
        candidate.label,
        " ".join(word for word in (candidate.designator.value, architecture) if word),
        ", ".join(beside),
        why,
    )


def _beside(candidate: Candidate) -> Iterator[tuple[str, Node]]:
    if candidate.hashes is not None:
        yield "hashes", candidate.hashes
    if candidate.signature is not None:
        yield "signature", candidate.signature


def _place(candidate: Candidate) -> str:
    data = candidate.data
    name = f" ({data.name})" if data.name and data.partition is not None else ""
    return data.title + name


def _use(candidate: Candidate) -> str:
    architecture = "" if candidate.architecture is None else f" on {candidate.architecture.value}"
    return {"root": "the root", "usr": "/usr"}[candidate.designator.value] + architecture
