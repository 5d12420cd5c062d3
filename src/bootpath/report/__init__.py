"""Pictures, text and JSON of results; reads results only."""

from bootpath.report.asjson import built_json, inspection_json, plan_json, rehearsal_json
from bootpath.report.canvas import Canvas
from bootpath.report.contents import render_contents
from bootpath.report.contentsmap import draw_contents
from bootpath.report.ddi import ddi_json, render_ddi
from bootpath.report.diskmap import draw_plan
from bootpath.report.dmpicture import draw_listing
from bootpath.report.dmtable import explain_row, listing_json, normalised, render_listing
from bootpath.report.firmware import firmware_json, render_firmware
from bootpath.report.initramfs import initramfs_json, render_initramfs
from bootpath.report.linuxboot import linux_boot_json, linux_run_json, render_linux_boot, render_linux_run
from bootpath.report.machine import machine_json, render_machine
from bootpath.report.text import render_built, render_inspection, render_plan, render_rehearsal
from bootpath.report.units import format_bytes, format_offset, format_seconds, plural

__all__ = [
    "Canvas",
    "built_json",
    "ddi_json",
    "draw_contents",
    "draw_listing",
    "draw_plan",
    "explain_row",
    "firmware_json",
    "format_bytes",
    "format_offset",
    "format_seconds",
    "initramfs_json",
    "inspection_json",
    "linux_boot_json",
    "linux_run_json",
    "listing_json",
    "machine_json",
    "normalised",
    "plan_json",
    "plural",
    "rehearsal_json",
    "render_built",
    "render_contents",
    "render_ddi",
    "render_firmware",
    "render_initramfs",
    "render_inspection",
    "render_linux_boot",
    "render_linux_run",
    "render_listing",
    "render_machine",
    "render_plan",
    "render_rehearsal",
]
