"""The hash tree and the signature of a data partition, as the files that go into their partitions.

Source: `formats.verity` and `image.signatures.roothash`; UAPI.2, Verity Signature Partitions. The tree has a
superblock, so that whoever opens it needs the root hash and nothing else; salt and UUID come from the image's seed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from bootpath.block.leaves.images.open import ImageRules
from bootpath.core.errors import Error, SignatureError
from bootpath.formats.repart.definition import RepartDefinition
from bootpath.formats.verity.signature import VeritySignature, pack_verity_signature
from bootpath.formats.verity.tree import VerityParameters
from bootpath.image.ddi.draft import SigningKey
from bootpath.image.ddi.identity import verity_salt, verity_uuid
from bootpath.image.signatures.roothash import certificate_fingerprint, sign_root_hash
from bootpath.image.verity.format import format_volume

SIGNATURE_BYTES = 16 << 10
"""What systemd-repart gives a signature partition."""


def write_hashes(
    data: Path,
    hashes: Path,
    definition: RepartDefinition,
    *,
    seed: UUID,
    slot: int,
    progress: Callable[[int], None] | None = None,
) -> bytes:
    """Write the tree of the file `data` to the new file `hashes`; the root hash.

    `definition` is the hash partition's, and says how large blocks are.
    Raises DeviceError, FormatError when the data is not whole blocks.
    """
    size, block = data.stat().st_size, definition.verity_data_block_bytes
    parameters = VerityParameters(
        size // block,
        salt=verity_salt(seed, slot),
        data_block_size=block,
        hash_block_size=definition.verity_hash_block_bytes,
    )
    return format_volume(
        data, hashes, parameters, uuid=verity_uuid(seed, slot), progress=progress, images=ImageRules(raw=True)
    ).root_hash


def write_signature(root_hash: bytes, signing: SigningKey, path: Path) -> None:
    """Write what a signature partition holds. Raises Error when key or certificate are of no use."""
    try:
        value = VeritySignature(
            root_hash,
            sign_root_hash(root_hash, key=signing.key, certificate=signing.certificate, password=signing.password),
            certificate_fingerprint(signing.certificate),
        )
    except SignatureError as fault:
        # Nothing was judged and found wanting: the key is no use, which is a failure and no verdict.
        raise Error(f"the root hash cannot be signed: {fault.what}", where=fault.where, found=fault.found) from fault
    path.write_bytes(pack_verity_signature(value).ljust(SIGNATURE_BYTES, b"\0"))
