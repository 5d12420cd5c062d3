"""The root node of device trees."""

from __future__ import annotations

import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.devicetree import DeviceTree, parse_devicetree
from tests.support.fitimage import Node, pack_devicetree
from tests.support.tools import tool

TREE = pack_devicetree(
    Node(
        "",
        {"#address-cells": 2, "compatible": b"vendor,board\0vendor,chip\0", "model": "A board"},
        (Node("cpus", {"compatible": "not the root's"}),),
    )
)


def test_the_root_says_which_machine_it_is() -> None:
    assert parse_devicetree(TREE) == DeviceTree(("vendor,board", "vendor,chip"), "A board")
    assert parse_devicetree(TREE + b"more") == parse_devicetree(TREE)
    assert parse_devicetree(pack_devicetree(Node("", {}))) == DeviceTree(())


def test_what_is_no_text_is_shown() -> None:
    assert parse_devicetree(pack_devicetree(Node("", {"compatible": b"a\x1b\xff\0"}))).compatible == ("a\x1b\\xff",)


def test_every_truncation_and_every_changed_byte_is_an_error_or_a_tree() -> None:
    for length in range(len(TREE)):
        with pytest.raises(FormatError, match="device tree: "):
            parse_devicetree(TREE[:length])
    for place in range(len(TREE)):
        changed = TREE[:place] + bytes([TREE[place] ^ 0xFF]) + TREE[place + 1 :]
        with suppress(FormatError):
            parse_devicetree(changed)


def test_too_many_properties() -> None:
    many = Node("", {f"p{number}": number for number in range(1001)})
    with pytest.raises(FormatError, match="the root has too many properties"):
        parse_devicetree(pack_devicetree(many))


def test_a_version_that_is_not_known() -> None:
    data = bytearray(TREE)
    struct.pack_into(">I", data, 24, 18)
    with pytest.raises(FormatError, match="the version is too new; expected one compatible with 17, found 18"):
        parse_devicetree(bytes(data))


@pytest.mark.full
@pytest.mark.parametrize(
    ("program", "compatible"),
    [("qemu-system-aarch64", "linux,dummy-virt"), ("qemu-system-riscv64", "riscv-virtio")],
)
def test_the_tree_that_qemu_makes(tmp_path: Path, program: str, compatible: str) -> None:
    path = tmp_path / "virt.dtb"
    subprocess.run([tool(program), "-machine", f"virt,dumpdtb={path}", "-display", "none"], check=True)
    assert parse_devicetree(path.read_bytes()).compatible == (compatible,)
