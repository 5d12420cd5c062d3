"""What is on a disk, and the choice of its root, as JSON (``contents`` and ``choice`` in docs/schemas/inspect.json)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from bootpath.boot.linux.result import LinuxBoot
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.dm.table import pack_line
from bootpath.formats.partitions.imagepolicy import Protection
from bootpath.formats.partitions.mbr import DiskSignature, Mbr, MbrPartition
from bootpath.formats.superblocks.value import Superblock
from bootpath.image.contents.nodes import FoundHashTree, Location, Node
from bootpath.image.roots.candidates import Candidate
from bootpath.image.roots.choice import Verdict
from bootpath.image.roots.reasons import Problem

Json = dict[str, Any]


def reason_json(explanation: Explanation[Reason]) -> Json:
    """A reason: `reason` is its code, `text` the sentence."""
    return {"reason": explanation.code, "text": str(explanation)}


def problem_json(problem: Problem) -> Json:
    """As `reason_json`; the text says where, too."""
    return {"reason": problem.cause.code, "text": str(problem)}


def node_json(node: Node) -> Json:
    """A place and all that is in it. Sizes and offsets are bytes; `offset_bytes` is on the place above."""
    return {
        "path": node.path,
        "kind": node.kind.value,
        "name": node.name,
        "size_bytes": node.size_bytes,
        "offset_bytes": node.offset_bytes,
        "location": location_json(node.location),
        "type": None
        if node.type is None
        else {
            "name": node.type.name,
            "designator": node.type.designator.value,
            "architecture": None if node.type.architecture is None else node.type.architecture.value,
        },
        "partition_guid": None if node.partition is None else str(node.partition.guid),
        "partuuid": node.partuuid,
        "mbr_type": None if node.record is None else _mbr_type(node.record),
        "flags": list(node.flags),
        "superblocks": [_superblock(each) for each in node.superblocks],
        "named": [{"kind": each.kind, "detail": each.detail, "hint": each.hint} for each in node.named],
        "verity": None if node.tree is None else _tree(node.tree),
        "signature": None
        if node.signature is None
        else {
            "root_hash": node.signature.root_hash.hex(),
            "certificate_fingerprint": None
            if node.signature.certificate_fingerprint is None
            else node.signature.certificate_fingerprint.hex(),
        },
        "use": None
        if node.use is None
        else {
            "uses": [use.value for use in node.use.uses],
            "init": node.use.init or None,
            "name": node.use.name or None,
            "known": not node.use.unknown,
        },
        "table": None if node.table is None else [pack_line(line) for line in node.table.lines],
        "fault": None if node.fault is None else reason_json(node.fault),
        "warnings": list(node.warnings),
        "children": [node_json(child) for child in node.children],
    }


def choice_json(boot: LinuxBoot) -> Json:
    """What would be mounted, and every candidate; one that is excluded has the reason."""
    choice, chosen = boot.order.choice, boot.root
    refused = Verdict.AMBIGUOUS if choice.verdict is Verdict.AMBIGUOUS else Verdict.NONE
    return {
        "verdict": refused.value if chosen is None else _protection(boot).value,
        "root": None if chosen is None else chosen.data.path,
        "usr": None if choice.usr is None or chosen is None else choice.usr.data.path,
        "ambiguous": [candidate.data.path for candidate in choice.ambiguous],
        "candidates": [_candidate(candidate) for candidate in choice.candidates],
    }


def _protection(boot: LinuxBoot) -> Verdict:
    """How sure it is that what would be mounted is what was made: the weakest of root and /usr."""
    order = list(Protection)
    mounted = [each.protection for each in (boot.root, boot.order.choice.usr) if each is not None]
    return Verdict[max(mounted, key=order.index).name]


def location_json(location: Location) -> Json:
    """Where a place is: on a disk with a GUID, or with the signature of an MBR; all null for what is no partition."""
    disk = location.disk_id
    return {
        "disk_guid": str(disk) if isinstance(disk, UUID) else None,
        "disk_signature": str(disk) if isinstance(disk, DiskSignature) else None,
        "number": location.number,
        "first_lba": location.first_lba,
    }


def mbr_json(mbr: Mbr) -> Json:
    """A partition table of that kind."""
    return {
        "disk_signature": str(mbr.signature),
        "block_bytes": mbr.block_bytes,
        "protective": mbr.protective,
        "partitions": [
            {
                "number": each.number,
                "type": each.type,
                "type_name": each.type_name,
                "partuuid": each.partuuid,
                "bootable": each.bootable,
                "extended": each.extended,
                "logical": each.logical,
                "first_lba": each.first_lba,
                "last_lba": each.last_lba,
                "offset_bytes": each.offset_bytes,
                "size_bytes": each.size_bytes,
            }
            for each in mbr.partitions
        ],
    }


def _mbr_type(record: MbrPartition) -> Json:
    return {"type": record.type, "name": record.type_name, "bootable": record.bootable}


def _superblock(superblock: Superblock) -> Json:
    return {
        "kind": superblock.kind,
        "uuid": superblock.uuid,
        "label": superblock.label,
        "block_bytes": superblock.block_bytes,
        "size_bytes": superblock.size_bytes,
        "read_only": superblock.read_only,
        "checksum": superblock.checksum.value,
        "version": superblock.version,
    }


def _tree(tree: FoundHashTree) -> Json:
    parameters = tree.superblock.parameters
    return {
        "root_hash": None if tree.root_hash is None else tree.root_hash.hex(),
        "uuid": str(tree.superblock.uuid),
        "hash_type": parameters.hash_type,
        "algorithm": parameters.algorithm,
        "salt": parameters.salt.hex(),
        "data_blocks": parameters.data_blocks,
        "data_block_bytes": parameters.data_block_size,
        "hash_block_bytes": parameters.hash_block_size,
    }


def _candidate(candidate: Candidate) -> Json:
    signer = candidate.signer
    return {
        "designator": candidate.designator.value,
        "path": candidate.data.path,
        "label": candidate.label,
        "architecture": None if candidate.architecture is None else candidate.architecture.value,
        "hash_partition": None if candidate.hashes is None else candidate.hashes.path,
        "signature_partition": None if candidate.signature is None else candidate.signature.path,
        "root_hash": None if candidate.root_hash is None else candidate.root_hash.hex(),
        "root_hash_source": None if candidate.root_hash_source is None else candidate.root_hash_source.value,
        "protection": candidate.protection.value,
        "signature": candidate.signature_check.value,
        "signer": None
        if signer is None
        else {
            "subject": signer.subject,
            "fingerprint": signer.fingerprint.hex(),
            "not_after": signer.not_after.isoformat(),
        },
        "excluded": None if candidate.excluded is None else reason_json(candidate.excluded),
        "notes": list(candidate.notes),
    }
