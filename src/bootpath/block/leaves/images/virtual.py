"""What QEMU is told about an image: every node by name and format, so that it finds out nothing by itself.

An image can name other files: a backing file, a data file, extents. Whoever made it chose the names, and QEMU would
open whatever they say, /etc/shadow or an address in the network. So the names are read here first; an image that has
any is refused, unless that is allowed. Then they are names of files, each with a format that its image says, and what
they name is looked at in the same way. QEMU itself is given ``"backing": null`` for all that has none.

Source: QEMU QAPI, BlockdevOptions.
"""

from __future__ import annotations

import os
import re
from contextlib import closing
from typing import Any, TypeAlias

from bootpath.block.leaves.file import FileDevice
from bootpath.core.device import Device
from bootpath.core.errors import FormatError
from bootpath.core.limits import check_limit
from bootpath.formats.diskimages.qcow2 import QcowHeader, check_whole, parse_qcow
from bootpath.formats.diskimages.recognise import HEAD_BYTES, VMDK_TEXT, ImageKind, recognise
from bootpath.formats.diskimages.vdi import check_whole_vdi
from bootpath.formats.diskimages.vmdk import check_capacity, read_vmdk_names
from bootpath.formats.region import Region

Node: TypeAlias = dict[str, Any]

ALLOW = "--allow-backing-file allows that"
_DRIVERS = {
    ImageKind.QCOW: "qcow",
    ImageKind.QCOW2: "qcow2",
    ImageKind.VMDK: "vmdk",
    ImageKind.VHDX: "vhdx",
    ImageKind.VHD: "vpc",
    ImageKind.VDI: "vdi",
}
_BACKED = (ImageKind.QCOW, ImageKind.QCOW2, ImageKind.VMDK)
_PROTOCOL = re.compile(r"[^/]*:")


def image_node(region: Region, kind: ImageKind, opened: str, path: str, *, allow: bool) -> tuple[Node, str]:
    """(the node, what is known of the image) for an image of which QEMU may open `opened`; its name is `path`.

    Raises FormatError, also for an image that names other files, unless `allow`; LimitError, DeviceError.
    """
    return _node(region, kind, opened, path, allow=allow, depth=1)


def _node(region: Region, kind: ImageKind, opened: str, path: str, *, allow: bool, depth: int) -> tuple[Node, str]:
    check_limit("backing_files", depth, "too many images stand one below the other", where=path)
    node: Node = {"driver": _DRIVERS[kind], "read-only": True, "file": _file(opened)}
    detail = ""
    if kind in _BACKED:
        node["backing"] = None
    if kind in (ImageKind.QCOW, ImageKind.QCOW2):
        header = parse_qcow(region)
        check_whole(region)
        detail = f"version {header.version}" if kind is ImageKind.QCOW2 else ""
        _add_files(node, header, path, allow=allow, depth=depth)
        if header.backing_file is not None:
            detail += f", over {header.backing_file}"
    elif kind is ImageKind.VDI:
        check_whole_vdi(region)
    elif kind is ImageKind.VMDK:
        names = read_vmdk_names(region)
        if names.parent is not None:
            raise FormatError(
                "the image needs another image below it, which is not read here",
                where=path,
                found=repr(names.parent),
                hint="make one image of the two: qemu-img convert",
            )
        if names.extents or region.peek(0, len(VMDK_TEXT)) == VMDK_TEXT:
            _check_extents(names.extents, path, allow=allow)
            node["file"] = _file(os.path.realpath(path))
            detail = f"extents in {len(names.extents)} files"
    return node, detail


def _file(name: str) -> Node:
    return {"driver": "file", "filename": name, "read-only": True}


def _refused(what: str, name: str, path: str) -> FormatError:
    return FormatError(f"the image names another file, {what}", where=path, found=repr(name), hint=ALLOW)


def _add_files(node: Node, header: QcowHeader, path: str, *, allow: bool, depth: int) -> None:
    if header.encrypted:
        raise FormatError("the image is encrypted, which is not read here", where=path)
    if header.data_file is not None:
        if not allow:
            raise _refused("for its data", header.data_file, path)
        node["data-file"] = {"driver": "raw", "file": _file(_beside(path, header.data_file))}
    if header.backing_file is None:
        return
    if not allow:
        raise _refused("to stand on", header.backing_file, path)
    node["backing"] = _backing(_beside(path, header.backing_file), header, path, depth)


def _backing(below: str, header: QcowHeader, path: str, depth: int) -> Node:
    drivers = {driver: kind for kind, driver in _DRIVERS.items()}
    if header.backing_format != "raw" and header.backing_format not in drivers:
        raise FormatError(
            "the image does not say the format of the file that it stands on",
            where=path,
            found=repr(header.backing_format),
            expected=" or ".join(("raw", *drivers)),
            hint="qemu-img rebase -u -F FORMAT says it",
        )
    with closing(FileDevice.open(below)) as device:
        if header.backing_format == "raw":
            return {"driver": "raw", "read-only": True, "file": _file(below)}
        region = file_region(device)
        kind = drivers[header.backing_format]
        if recognise(region.peek(0, HEAD_BYTES)) is not kind:
            raise FormatError("the file is not what the image above says", where=below, expected=kind.value)
        return _node(region, kind, below, below, allow=True, depth=depth + 1)[0]


def _beside(path: str, name: str) -> str:
    """The file that an image names, relative to itself. Raises FormatError for what is no name of a file."""
    if not name or _PROTOCOL.match(name):
        raise FormatError("the image names something that is no file", where=path, found=repr(name))
    return os.path.join(os.path.dirname(os.path.realpath(path)), name)


def _check_extents(names: tuple[str, ...], path: str, *, allow: bool) -> None:
    if not allow:
        raise _refused("for its data", names[0] if names else "", path)
    check_limit("packed_blocks", len(names), "the image has too many extents", where=path)
    for name in names:
        if not name or "/" in name or ":" in name or name in (".", ".."):
            raise FormatError("the name of an extent is no file beside the image", where=path, found=repr(name))
        extent = _beside(path, name)
        with closing(FileDevice.open(extent)) as device:
            try:
                check_capacity(file_region(device))
            except FormatError as fault:
                raise fault.at(extent) from None


def file_region(device: Device) -> Region:
    """All of the file behind a device, without what fills it up."""
    return Region(device, 0, device.size_bytes - getattr(device, "padding_bytes", 0), head_bytes=4096)
