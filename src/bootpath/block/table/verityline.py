"""From a `verity` row to its device.

A row with root_hash_sig_key_desc says that its root hash is signed and that the signature is in the kernel's keyring.
There is none here, so such a row is only opened by somebody who brings a `verify`: what is asked for is never skipped.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeAlias

from bootpath.block.targets.verity import Corruption, Verity, VerityOptions
from bootpath.block.targets.verityrepair import ParityArea
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.verity import VerityRow

VerifySignature: TypeAlias = Callable[[str, bytes], object]
"""Called with the key's description and the root hash; raises SignatureError when it is not signed."""

# A device in user space cannot restart the machine nor stop it; it can refuse to go on.
_CORRUPTION = {
    "ignore_corruption": Corruption.IGNORE,
    "restart_on_corruption": Corruption.STOP,
    "panic_on_corruption": Corruption.STOP,
}


def verity_options(names: tuple[str, ...]) -> VerityOptions:
    """The flags of a row."""
    return VerityOptions(
        corruption=next((_CORRUPTION[name] for name in names if name in _CORRUPTION), Corruption.EIO),
        ignore_zero_blocks="ignore_zero_blocks" in names,
        check_at_most_once="check_at_most_once" in names,
        stop_on_error="restart_on_error" in names or "panic_on_error" in names,
    )


def verity_of_row(
    row: VerityRow, resolve: Callable[[str], Device], *, verify_signature: VerifySignature | None = None
) -> Verity:
    """The device, which leaves those it stands on open. Raises DeviceError, and what `verify_signature` raises."""
    if row.signature_key is not None:
        if verify_signature is None:
            raise DeviceError(
                f"the signature of the root hash is in the kernel's keyring, as {row.signature_key!r}",
                errno=errno.ENOTSUP,
                where=row.data,
                hint="check it (bootpath verity open --root-hash-signature) and open the row without it",
            )
        verify_signature(row.signature_key, row.root_hash)
    parity = None
    if row.fec is not None:
        parity = ParityArea(resolve(row.fec.device), row.fec.parameters, row.fec.offset_bytes)
    return Verity(
        resolve(row.data),
        resolve(row.hashes),
        row.parameters,
        row.root_hash,
        start_block=row.start_block,
        options=verity_options(row.options),
        parity=parity,
    )
