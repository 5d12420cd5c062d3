"""The variables in a file, whichever way they are stored."""

from __future__ import annotations

from bootpath.core.errors import FormatError
from bootpath.formats.efivars.edk2 import is_edk2_store, parse_edk2_store
from bootpath.formats.efivars.jsonstore import parse_json_store
from bootpath.formats.efivars.variable import EfiVariable


def parse_variable_store(data: bytes) -> tuple[EfiVariable, ...]:
    """The variables of an EDK2 store, or of a JSON text. Raises FormatError."""
    if is_edk2_store(data):
        return parse_edk2_store(data)
    if data.lstrip()[:1] == b"{":
        return parse_json_store(data)
    hint = None
    if data.startswith(b"QFI\xfb"):
        hint = "it is a qcow2 image: convert it with qemu-img convert -O raw"
    raise FormatError(
        "the file holds no EFI variables that can be read",
        where="EFI variables",
        expected="a store of EDK2 (OVMF_VARS.fd), or the JSON of virt-fw-vars",
        hint=hint,
    )
