"""An optical medium as text and as JSON: its boot images, the tables before it, and which firmware boots it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bootpath.formats.iso9660.eltorito import Platform
from bootpath.image.livemedia import FirmwareKind, FoundBootImage, LiveMedium
from bootpath.report.text import columns
from bootpath.report.units import format_bytes

Json = dict[str, Any]
_FIRMWARE = {FirmwareKind.BIOS: "BIOS", FirmwareKind.UEFI: "UEFI"}
_PLATFORMS = {Platform.X86: "BIOS", Platform.EFI: "UEFI", Platform.POWERPC: "PowerPC", Platform.MAC: "Mac"}


def medium_lines(medium: LiveMedium) -> Iterator[str]:
    """What a medium is, and its boot images."""
    tables = " and ".join(filter(None, (", ".join(medium.tables[:-1]), *medium.tables[-1:])))
    yield f"Hybrid medium: {tables} before the file system, for use as a disk" if tables else "Optical medium"
    if medium.boot_images:
        yield "El Torito boot images"
        yield from columns([_row(found) for found in medium.boot_images])


def medium_verdict(medium: LiveMedium) -> str:
    """Which firmware boots it, and as what."""
    said = []
    for firmware, name in _FIRMWARE.items():
        uses = medium.boots(firmware)
        if uses:
            said.append(f"{name} as a {' or a '.join(use.value for use in uses)}")
    return f"its own loader would boot it: {', '.join(said)}; which root it mounts, its initramfs decides"


def medium_json(medium: LiveMedium) -> Json:
    """``medium`` in docs/schemas/inspect.json."""
    return {
        "tables": list(medium.tables),
        "boots": [{"firmware": way.firmware.value, "as": way.use.value} for way in medium.ways],
        "boot_images": [_image_json(found) for found in medium.boot_images],
        "catalog_fault": None if medium.catalog_fault is None else str(medium.catalog_fault),
    }


def _row(found: FoundBootImage) -> tuple[str, ...]:
    image = found.image
    platform = _PLATFORMS.get(image.platform, f"platform {image.platform_id:#04x}")
    emulated = "no emulation" if image.emulation.value == "none" else f"emulates {image.emulation.value}"
    inside = [] if found.superblock is None else [f"{found.superblock.kind} {found.superblock.version}"]
    if found.fault is not None:
        inside.append(f"BAD: {found.fault}")
    return (
        platform if image.boots else f"{platform}, not bootable",
        found.path or "-",
        f"sector {image.sector}",
        f"loads {format_bytes(image.load_bytes)}",
        emulated,
        "; ".join((*inside, *found.programs)),
    )


def _image_json(found: FoundBootImage) -> Json:
    image, inside = found.image, found.superblock
    return {
        "platform": image.platform.value,
        "platform_id": image.platform_id,
        "bootable": image.boots,
        "emulation": image.emulation.value,
        "sector": image.sector,
        "offset_bytes": image.offset_bytes,
        "load_bytes": image.load_bytes,
        "load_segment": image.load_segment,
        "size_bytes": found.size_bytes,
        "path": found.path or None,
        "file_system": None if inside is None else inside.kind,
        "programs": list(found.programs),
        "fault": None if found.fault is None else str(found.fault),
    }
