"""A sample of every target of a table: what the property test, the fault test and the fuzzer open.

A target that is in the registry and not here fails `tests/property/test_targets.py`. A sample's table stands on the
devices that `sample_devices` gives: a, b and c of `DEVICE_BYTES`, of which b is zeros, and hashes, the tree of a.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from bootpath.formats.verity.tree import BlockHasher, VerityParameters
from tests.support.patterns import pattern

KIB = 1 << 10
DEVICE_BYTES = 64 * KIB
TABLE_BYTES = 48 * KIB

_KEY = bytes(range(64)).hex()


class Writes(Enum):
    """What becomes of a write."""

    KEPT = "kept"
    DROPPED = "dropped"
    REFUSED = "refused"  # the device is read-only


class Discards(Enum):
    """What a discarded range reads as."""

    ZEROS = "zeros"
    WHOLE_BLOCKS = "zeros in whole blocks of 4 KiB, else as before"
    AS_BEFORE = "as before"


@dataclass(frozen=True, slots=True)
class TargetSample:
    """Lines of a target that map `TABLE_BYTES`; ``{path}`` in them is the path of a file that does not exist."""

    table: str
    writes: Writes = Writes.KEPT
    discards: Discards = Discards.ZEROS
    readable: bool = True
    reads_devices: bool = True


@lru_cache(maxsize=1)
def _verity() -> tuple[VerityParameters, bytes, bytes]:
    """(parameters, root hash, the one hash block) of what the sample maps of a."""
    parameters = VerityParameters(TABLE_BYTES // 4096)
    hasher = BlockHasher(parameters)
    leaves = hasher.packed(pattern(0, TABLE_BYTES), 4096).ljust(4096, b"\0")
    return parameters, hasher.digest(leaves), leaves


def sample_devices() -> dict[str, bytes]:
    """The content of every device that a sample names."""
    tree = _verity()[2].ljust(DEVICE_BYTES, b"\0")
    return {"a": pattern(0, DEVICE_BYTES), "b": bytes(DEVICE_BYTES), "c": pattern(0, DEVICE_BYTES, 2), "hashes": tree}


def _verity_table() -> str:
    parameters, root_hash, _ = _verity()
    return f"0 96 verity 1 a hashes 4096 4096 {parameters.data_blocks} 0 sha256 {root_hash.hex()} -"


TARGET_SAMPLES: Mapping[str, TargetSample] = {
    "linear": TargetSample("0 64 linear a 8\n64 32 linear b 0"),
    "striped": TargetSample("0 96 striped 3 8 a 0 b 0 c 8"),
    "zero": TargetSample("0 96 zero", writes=Writes.DROPPED, reads_devices=False),
    "error": TargetSample("0 96 error", readable=False, reads_devices=False),
    "delay": TargetSample("0 96 delay a 0 0"),
    "flakey": TargetSample("0 96 flakey a 0 1000000 0"),
    "verity": TargetSample(_verity_table(), writes=Writes.REFUSED),
    "crypt": TargetSample(f"0 96 crypt aes-xts-plain64 {_KEY} 0 a 8", discards=Discards.AS_BEFORE),
    "snapshot": TargetSample("0 96 snapshot a b P 8", discards=Discards.AS_BEFORE),
    "snapshot-origin": TargetSample("0 96 snapshot-origin a", writes=Writes.REFUSED),
    "overlay": TargetSample("0 96 overlay a", discards=Discards.WHOLE_BLOCKS),
    "overlayfile": TargetSample("0 96 overlayfile a {path}", discards=Discards.WHOLE_BLOCKS),
    "live": TargetSample("0 96 live a a 0 0+8192", writes=Writes.REFUSED),
    "fault": TargetSample("0 96 fault a write:error:count=0"),
    "erased": TargetSample("0 96 erased", writes=Writes.REFUSED, reads_devices=False),
}
"""By the names of `formats.dm.targets.TARGETS`."""
