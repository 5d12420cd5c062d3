"""Making the FEC data (forward error correction) of a verity volume, on all processors.

Each thread takes a run of codewords that lie side by side, reads the piece of every region that they are made of, and
writes their parity bytes. A piece is long enough to be read at a go and short enough for all of them to fit into the
cache: memory is `_MESSAGE_BYTES` for each thread.

Source: as `formats.verity.fec`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bootpath.block.targets.verity.repair import ParityArea
from bootpath.core.device import Buffer, Device, read_bytes, read_into
from bootpath.core.errors import DeviceError, FormatError
from bootpath.formats.dm.verity import check_fec
from bootpath.formats.verity.fec import FecParameters, fastest_encoder
from bootpath.formats.verity.tree import SUPERBLOCK_BYTES, VerityParameters
from bootpath.image.inorder import in_order
from bootpath.image.verity.tree import Progress

_MESSAGE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class FecArea:
    """Where the FEC data of a volume is: on its device from byte `offset`."""

    shape: FecParameters
    offset: int = 0


def fec_area(
    parameters: VerityParameters,
    *,
    start_block: int,
    hash_bytes: int,
    on_hash_device: bool,
    offset: int = 0,
    roots: int = 2,
) -> FecArea:
    """The FEC data of a volume as veritysetup lays it out. Raises FormatError when it would not go with the tree.

    It covers the data and all that follows the tree's beginning on its device, foreign metadata too: `hash_bytes` is
    the size of that device. When the FEC data is on the same device, it covers what lies before it.
    """
    if offset % SUPERBLOCK_BYTES:
        raise FormatError(
            "the FEC offset is not valid", where="verity", found=offset, expected=f"a multiple of {SUPERBLOCK_BYTES}"
        )
    size = parameters.data_block_size
    end = offset if on_hash_device else hash_bytes
    blocks = parameters.data_blocks + max(end // size - start_block, 0)
    shape = FecParameters(blocks, size, roots)
    check_fec(parameters, shape)
    return FecArea(shape, offset)


def build_fec(
    data: Device,
    hashes: Device,
    target: Device,
    shape: FecParameters,
    *,
    data_blocks: int,
    start_block: int,
    offset_bytes: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the FEC data of `data_blocks` blocks of `data`, and behind them of `hashes` from block `start_block` on.

    It goes to `target` from byte `offset_bytes`; `progress` is called with the bytes of the message done so far. Raises
    DeviceError (EINVAL) when a device is too short, else what reading and writing raise.
    """
    area = ParityArea(target, shape, offset_bytes)
    work = _encoded(data, hashes, area, target.write, data_blocks=data_blocks, start_block=start_block, threads=threads)
    for done in work:
        if progress is not None:
            progress(done)


def wrong_parity(
    data: Device,
    hashes: Device,
    area: ParityArea,
    *,
    data_blocks: int,
    start_block: int,
    threads: int | None = None,
) -> int:
    """How many blocks of an FEC area are others than `build_fec` would write. Raises as that does."""
    wrong: list[int] = []
    size = area.parameters.block_size

    def compare(offset: int, parity: Buffer) -> None:
        stored, mine = read_bytes(area.device, offset, len(parity)), bytes(parity)
        if stored != mine:
            wrong.extend(at for at in range(0, len(mine), size) if stored[at : at + size] != mine[at : at + size])

    for _ in _encoded(data, hashes, area, compare, data_blocks=data_blocks, start_block=start_block, threads=threads):
        pass
    return len(wrong)


def _encoded(
    data: Device,
    hashes: Device,
    area: ParityArea,
    store: Callable[[int, Buffer], None],
    *,
    data_blocks: int,
    start_block: int,
    threads: int | None,
) -> Iterator[int]:
    """Compute the parity and `store` it, each piece with its place on the area's device; the message bytes done."""
    shape = area.parameters
    size, symbols = shape.block_size, shape.symbols
    covered = (start_block + shape.blocks - data_blocks) * size if shape.blocks > data_blocks else 0
    for device, end, what in (
        (data, data_blocks * size, "data"),
        (hashes, covered, "range that FEC covers"),
        (area.device, area.offset_bytes + shape.parity_bytes, "FEC data"),
    ):
        if end > device.size_bytes:
            raise DeviceError(
                f"the {what} ends beyond the device",
                errno=errno.EINVAL,
                where=device.identity.name,
                found=f"byte {end}",
                expected=f"at most byte {device.size_bytes}",
            )
    run = max(_MESSAGE_BYTES // symbols // size, 1)
    buffers: list[memoryview] = []  # as in `image.verity.tree`
    encode = fastest_encoder()

    def read(block: int, piece: memoryview) -> None:
        """The message from `block` on: data, hashes, and zeros behind them."""
        while piece:
            if block < data_blocks:
                device, number, left = data, block, data_blocks - block
            elif block < shape.blocks:
                device, number, left = hashes, block - data_blocks + start_block, shape.blocks - block
            else:
                piece[:] = bytes(len(piece))
                return
            part = piece[: left * size]
            read_into(device, number * size, part)
            block += len(part) // size
            piece = piece[len(part) :]

    def work(first: int) -> int:
        width = min(run, shape.rounds - first) * size
        buffer = buffers.pop() if buffers else memoryview(bytearray(run * size * symbols))
        message = buffer[: width * symbols]
        for symbol in range(symbols):
            read(symbol * shape.rounds + first, message[symbol * width : (symbol + 1) * width])
        store(area.offset_bytes + first * size * shape.roots, encode(message, shape.roots))
        buffers.append(buffer)
        return len(message)

    done = 0
    for length in in_order(work, range(0, shape.rounds, run), threads=threads):
        done = min(done + length, shape.blocks * size)
        yield done
