"""``bootpath verity`` as text, in the words of veritysetup, and as JSON (docs/schemas/verity.json)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bootpath.core.printable import Printable, printable, printable_lines
from bootpath.core.units import plural
from bootpath.image.verity.fec import FecArea
from bootpath.image.verity.verify import Verification, VolumeState
from bootpath.image.verity.volume import HashArea

_LABELS = {"uuid": "UUID", "algorithm": "hash algorithm", "fec_roots": "FEC RS roots", "fec_blocks": "FEC blocks"}


def area_json(area: HashArea, fec: FecArea | None = None, *, root_hash: bytes | None = None) -> dict[str, Any]:
    """What a volume is made of."""
    parameters, superblock = area.parameters, area.superblock
    value: dict[str, Any] = {
        "uuid": None if superblock is None else str(superblock.uuid),
        "hash_type": parameters.hash_type,
        "data_blocks": parameters.data_blocks,
        "data_block_size": parameters.data_block_size,
        "hash_blocks": parameters.tree_blocks(),
        "hash_block_size": parameters.hash_block_size,
        "algorithm": parameters.algorithm,
        "salt": parameters.salt.hex() or None,
        "hash_offset": area.offset,
        "hash_start_block": area.start_block,
    }
    if fec is not None:
        value |= {
            "fec_roots": fec.shape.roots,
            "fec_blocks": fec.shape.parity_bytes // fec.shape.block_size,
            "fec_covered_blocks": fec.shape.blocks,
            "fec_offset": fec.offset,
        }
    if root_hash is not None:
        value["root_hash"] = root_hash.hex()
    return value


def render_area(value: Mapping[str, Any]) -> Printable:
    """The same as lines."""
    lines = []
    for name, each in value.items():
        label = _LABELS.get(name, name.replace("_", " "))
        lines.append(f"{label[0].upper() + label[1:] + ':':<18}{'-' if each is None else each}")
    return printable_lines(lines)


def verification_json(verification: Verification) -> dict[str, Any]:
    """What verifying a volume has found."""
    value: dict[str, Any] = {
        "verdict": verification.verdict.value,
        "verified": verification.verified,
        "mismatches": [
            {"what": "data" if each.level < 0 else "hash", "level": max(each.level, 0), "block": each.block}
            for each in verification.mismatches
        ],
    }
    if verification.verdict is not VolumeState.GOOD:
        corrected = verification.corrected
        value["repaired_blocks"] = None if corrected is None else corrected.data_blocks + corrected.hash_blocks
    if verification.wrong_parity_blocks is not None:
        value["wrong_fec_blocks"] = verification.wrong_parity_blocks
    return value


def render_verification(verification: Verification, name: str, blocks: int) -> Printable:
    """The verdict on a volume that is not bad, in a line."""
    if verification.corrected is None:
        return printable(f"{name}: verified, {blocks} blocks")
    data, hashes = verification.corrected.data_blocks, verification.corrected.hash_blocks
    return printable(
        f"{name}: repairable, {blocks} blocks: FEC can correct all that do not match: "
        f"{plural(data, 'data block')}, {plural(hashes, 'hash block')}"
    )
