"""The entries of what people write by hand: definitions of partitions, and kernel parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bootpath.formats.cmdline.parameters import join_parameters, split_parameters
from bootpath.formats.cmdline.root import pack_root_parameters, parse_root_parameters
from bootpath.formats.partitions.dps import Architecture
from bootpath.formats.repart.definition import pack_repart
from bootpath.formats.repart.parse import parse_repart
from bootpath.formats.repart.unitfile import Assignment, pack_unit_file, parse_unit_file
from tests.fuzz.entry import Entry, comes_back

SPECIFIERS = {"a": "x86-64", "M": "100%", "A": "%t"}

HASH = bytes(range(32)).hex()
COMMAND_LINES = (
    b"root=PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4 ro rootwait quiet",
    b'root=LABEL="my root" rootflags=noatime rootfstype=ext4,xfs rootdelay=5 init=/bin/sh -- root=x',
    f"roothash={HASH} systemd.verity_root_data=/dev/vda1 systemd.verity_root_options=hash-offset=4096".encode(),
    b"bootpath.lv=PBcCoW-3nMh-bxAi-F2Sl-As4J-0Shv-rL03fk/dCjLNb-92cp-wDlj-obHQ-RPgV-ZrvR-rRWr8d rd.lvm.lv=a/b",
    b"bootpath.ubi=0:root bootpath.onfail=shell",
    b"root=/dev/vda bootpath.slot=0fc63daf-8483-4772-8e79-3d69d8477de4:1:2048",
)


def _repart(data: bytes) -> None:
    """The syntax and its meaning."""
    lines = [_unplaced(line) for line in parse_unit_file(data, where="f")]
    comes_back(lines, pack_unit_file, lambda data: [_unplaced(line) for line in parse_unit_file(data, where="f")])
    definition = parse_repart(data, name="f", architecture=Architecture.X86_64, specifiers=SPECIFIERS)
    comes_back(definition, pack_repart, partial(parse_repart, name="f", architecture=Architecture.ARM))


def _unplaced(line: Assignment) -> Assignment:
    return replace(line, line=0)


def _root_parameters(data: bytes) -> None:
    line = data.decode("utf-8", "surrogateescape")
    comes_back(split_parameters(line), partial(join_parameters, limit_bytes=len(data) + 2), split_parameters)
    comes_back(parse_root_parameters(line), pack_root_parameters, parse_root_parameters)


DEFINITIONS = (Entry("repart", _repart), Entry("root_parameters", _root_parameters, made=lambda: COMMAND_LINES))
