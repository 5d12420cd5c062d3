"""From the value of a verity target to its device.

root_hash_sig_key_desc says that the root hash is signed, and that the signature is in the kernel's keyring. There is no
keyring here, so such a target is opened only with a `verify_signature`: no check that is asked for is skipped.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeAlias

from bootpath.block.targets.verity.repair import ParityArea
from bootpath.block.targets.verity.verity import Corruption, Verity, VerityOptions
from bootpath.core.device import Device
from bootpath.core.errors import DeviceError
from bootpath.formats.dm.verity import VerityTarget

VerifySignature: TypeAlias = Callable[[str, bytes], object]
"""Called with the key's description and the root hash; raises SignatureError when it is not signed."""

# A device in user space cannot restart the machine nor stop it; it can refuse to go on.
_CORRUPTION = {
    "ignore_corruption": Corruption.IGNORE,
    "restart_on_corruption": Corruption.STOP,
    "panic_on_corruption": Corruption.STOP,
}


def verity_options(names: tuple[str, ...]) -> VerityOptions:
    """The flags of a target."""
    return VerityOptions(
        corruption=next((_CORRUPTION[name] for name in names if name in _CORRUPTION), Corruption.EIO),
        ignore_zero_blocks="ignore_zero_blocks" in names,
        check_at_most_once="check_at_most_once" in names,
        stop_on_error="restart_on_error" in names or "panic_on_error" in names,
    )


def open_verity_target(
    target: VerityTarget, resolve: Callable[[str], Device], *, verify_signature: VerifySignature | None = None
) -> Verity:
    """The device, which leaves those it stands on open. Raises DeviceError, and what `verify_signature` raises."""
    if target.signature_key is not None:
        if verify_signature is None:
            raise DeviceError(
                f"the signature of the root hash is in the kernel's keyring, as {target.signature_key!r}",
                errno=errno.ENOTSUP,
                where=target.data,
                hint="check it with bootpath verity open --root-hash-signature and open the line without the option",
            )
        verify_signature(target.signature_key, target.root_hash)
    parity = None
    if target.fec is not None:
        parity = ParityArea(resolve(target.fec.device), target.fec.parameters, target.fec.offset_bytes)
    return Verity(
        resolve(target.data),
        resolve(target.hashes),
        target.parameters,
        target.root_hash,
        start_block=target.start_block,
        options=verity_options(target.options),
        parity=parity,
    )
