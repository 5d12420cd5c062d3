"""Bytes and frozen values: every format is parsed and packed here, and nothing is opened, written or logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bootpath.core.lazyexports import lazy_exports

if TYPE_CHECKING:
    from bootpath.formats.cpio import CpioEntry, arrange_cpio, pack_cpio, parse_cpio
    from bootpath.formats.dm.create import DM_CREATE_TARGETS, MappedDevice, pack_dm_create, parse_dm_create
    from bootpath.formats.dm.export import ExportFormat, export_listing
    from bootpath.formats.dm.listing import ListedTable, pack_listing, parse_listing
    from bootpath.formats.dm.table import Row, Table, pack_row, pack_table, parse_row, parse_table
    from bootpath.formats.dm.targets import (
        KERNEL_TARGETS,
        TARGET_FORMATS,
        device_names,
        pack_target,
        parse_target,
        rename_devices,
    )
    from bootpath.formats.handoff import HANDOFF_MAX_BYTES, Handoff, pack_handoff, parse_handoff
    from bootpath.formats.nbd.uri import NbdUri, pack_nbd_uri, parse_nbd_uri
    from bootpath.formats.partitions.gpt import Gpt, GptVerdict, probe_gpt, read_gpt
    from bootpath.formats.partitions.gptheader import (
        BIOS_BOOT,
        EFI_SYSTEM,
        LINUX_FS,
        PARTITION_TYPES,
        XBOOTLDR,
        Partition,
    )
    from bootpath.formats.partitions.gptwrite import new_gpt, pack_gpt, repair_gpt
    from bootpath.formats.pkcs7 import SignedAttributes, SignerInfo, parse_pkcs7
    from bootpath.formats.plan import PLAN_MAX_BYTES, Plan, PlanExtent, pack_plan, parse_plan
    from bootpath.formats.trace import TRACE_MAX_BYTES, Trace, pack_trace, parse_trace
    from bootpath.formats.verity.signature import VeritySignature, pack_verity_signature, parse_verity_signature
    from bootpath.formats.verity.tree import (
        VerityParameters,
        VeritySuperblock,
        pack_verity_superblock,
        parse_verity_superblock,
        probe_verity,
    )

__all__ = [
    "BIOS_BOOT",
    "DM_CREATE_TARGETS",
    "EFI_SYSTEM",
    "HANDOFF_MAX_BYTES",
    "KERNEL_TARGETS",
    "LINUX_FS",
    "PARTITION_TYPES",
    "PLAN_MAX_BYTES",
    "TARGET_FORMATS",
    "TRACE_MAX_BYTES",
    "XBOOTLDR",
    "CpioEntry",
    "ExportFormat",
    "Gpt",
    "GptVerdict",
    "Handoff",
    "ListedTable",
    "MappedDevice",
    "NbdUri",
    "Partition",
    "Plan",
    "PlanExtent",
    "Row",
    "SignedAttributes",
    "SignerInfo",
    "Table",
    "Trace",
    "VerityParameters",
    "VeritySignature",
    "VeritySuperblock",
    "arrange_cpio",
    "device_names",
    "export_listing",
    "new_gpt",
    "pack_cpio",
    "pack_dm_create",
    "pack_gpt",
    "pack_handoff",
    "pack_listing",
    "pack_nbd_uri",
    "pack_plan",
    "pack_row",
    "pack_table",
    "pack_target",
    "pack_trace",
    "pack_verity_signature",
    "pack_verity_superblock",
    "parse_cpio",
    "parse_dm_create",
    "parse_handoff",
    "parse_listing",
    "parse_nbd_uri",
    "parse_pkcs7",
    "parse_plan",
    "parse_row",
    "parse_table",
    "parse_target",
    "parse_trace",
    "parse_verity_signature",
    "parse_verity_superblock",
    "probe_gpt",
    "probe_verity",
    "read_gpt",
    "rename_devices",
    "repair_gpt",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "cpio": "CpioEntry arrange_cpio pack_cpio parse_cpio",
        "dm.create": "DM_CREATE_TARGETS MappedDevice pack_dm_create parse_dm_create",
        "dm.export": "ExportFormat export_listing",
        "dm.listing": "ListedTable pack_listing parse_listing",
        "dm.table": "Row Table pack_row pack_table parse_row parse_table",
        "dm.targets": "KERNEL_TARGETS TARGET_FORMATS device_names pack_target parse_target rename_devices",
        "partitions.gpt": "Gpt GptVerdict probe_gpt read_gpt",
        "partitions.gptheader": "BIOS_BOOT EFI_SYSTEM LINUX_FS PARTITION_TYPES Partition XBOOTLDR",
        "partitions.gptwrite": "new_gpt pack_gpt repair_gpt",
        "handoff": "HANDOFF_MAX_BYTES Handoff pack_handoff parse_handoff",
        "nbd.uri": "NbdUri pack_nbd_uri parse_nbd_uri",
        "pkcs7": "SignedAttributes SignerInfo parse_pkcs7",
        "plan": "PLAN_MAX_BYTES Plan PlanExtent pack_plan parse_plan",
        "trace": "TRACE_MAX_BYTES Trace pack_trace parse_trace",
        "verity.tree": "VerityParameters VeritySuperblock pack_verity_superblock parse_verity_superblock probe_verity",
        "verity.signature": "VeritySignature pack_verity_signature parse_verity_signature",
    },
)
