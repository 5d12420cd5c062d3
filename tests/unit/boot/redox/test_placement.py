from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootpath.boot.protocol.settings import environment_block
from bootpath.boot.redox.placement import (
    ALIGN_BYTES,
    FIRMWARE_ROOM_BYTES,
    HIGH_ADDRESS,
    KERNEL_ROOM_BYTES,
    LOW_LIMIT_BYTES,
    LOW_OF_LARGE_BYTES,
    MIB,
    make_blob,
    reserve_memory,
)
from bootpath.core.errors import BootError
from bootpath.core.extents import Extent
from bootpath.formats.cmdline.parameters import join_parameters
from bootpath.formats.handoff import Handoff, parse_handoff

UUID_ = UUID("6f3a2f8e-93a5-4b6e-8f43-0d9ef0b2c001")


@given(st.integers(300 * MIB, 8192 * MIB), st.integers(0, 64 * MIB), st.integers(0, 5000 * MIB))
def test_a_preload_lies_in_memory_that_nobody_else_takes(usable: int, initrd: int, blob: int) -> None:
    placement = reserve_memory(usable, initrd, blob)
    end = placement.address + placement.reserved_bytes
    assert placement.reserved_bytes >= blob
    assert placement.memory_bytes % MIB == 0
    assert placement.memory_bytes - placement.reserved_bytes >= usable
    assert placement.address % ALIGN_BYTES == 0
    if placement.memory_bytes < LOW_LIMIT_BYTES:
        assert placement.address >= KERNEL_ROOM_BYTES // 2
        assert end + initrd + FIRMWARE_ROOM_BYTES <= placement.memory_bytes
    else:
        assert placement.address == HIGH_ADDRESS
        assert end - HIGH_ADDRESS <= placement.memory_bytes - LOW_OF_LARGE_BYTES


def test_the_kernel_parameter() -> None:
    assert reserve_memory(4096 * MIB, 0, 3 * MIB).parameter.text == "memmap=4M!0x100000000"


def test_a_machine_without_memory() -> None:
    with pytest.raises(BootError, match="too little memory for Linux; expected at least"):
        reserve_memory(128 * MIB, 0, 0)


def handoff(count: int, password: bytes | None = None) -> Handoff:
    extents = tuple(Extent(index * 12288, 4096) for index in range(count))
    return Handoff(
        live_addr=1 << 32,
        live_size_bytes=4096 * count,
        live_partial=True,
        live_extents=extents,
        full_size_bytes=1 << 30,
        redoxfs_uuid=UUID_,
        password_addr=None if password is None else 77,
        password_size_bytes=None if password is None else len(password),
    )


@pytest.mark.parametrize("count", [3, 900])
@pytest.mark.parametrize("password", [None, b"secret"])
def test_the_guest_reads_what_the_loader_said(count: int, password: bytes | None) -> None:
    said = handoff(count, password)
    blob = make_blob(said, password)
    memory = bytearray(blob.size_bytes)
    for offset, content in blob.parts():
        memory[offset : offset + len(content)] = content
    address = 0x20000000

    def read(at: int, length: int, what: str) -> bytes:
        return bytes(memory[at - address : at - address + length])

    parameters = blob.parameters(said, address)
    assert len(parameters) <= 16, "Linux takes 32 variables, some of which are its own"
    assert len(join_parameters(parameters)) < 1200
    heard = parse_handoff(environment_block({each.name: each.value or "" for each in parameters}, read))
    assert heard.live_addr == address
    assert heard.live_extents == said.live_extents
    assert heard.full_size_bytes == said.full_size_bytes
    if password is not None:
        assert heard.password_addr is not None
        assert read(heard.password_addr, heard.password_size_bytes or 0, "") == password
