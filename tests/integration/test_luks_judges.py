"""crypt beside QEMU and cryptsetup: one makes a LUKS image, the other fills it, our row reads and writes it."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.block.table.stack import open_table
from bootpath.core.device import read_bytes
from bootpath.formats.dm.table import parse_table
from tests.support.tools import tool

SIZE = 2 << 20
HEADER_BYTES = 2 << 20


@pytest.mark.parametrize("bits", [128, 256])
def test_qemu_reads_what_we_write_and_we_what_it_writes(tmp_path: Path, bits: int) -> None:
    qemu_img, cryptsetup = tool("qemu-img"), tool("cryptsetup")
    plain = Random(bits).randbytes(SIZE)
    (tmp_path / "plain").write_bytes(plain)
    luks = tmp_path / "luks"
    # QEMU would measure how fast it is, which it cannot do on a machine that is busy: the header is cryptsetup's.
    luks.touch()
    os.truncate(luks, HEADER_BYTES + SIZE)
    header = ("--type", "luks1", "--cipher", "aes-xts-plain64", "--key-size", str(2 * bits))
    subprocess.run(
        [
            cryptsetup,
            "luksFormat",
            *header,
            "--pbkdf-force-iterations",
            "1000",
            "--batch-mode",
            "--key-file",
            "-",
            luks,
        ],
        input=b"secret",
        check=True,
    )
    secret = ("--object", "secret,id=key,data=secret")
    image = f"driver=luks,key-secret=key,file.driver=file,file.filename={luks}"
    subprocess.run(
        [qemu_img, "convert", *secret, "-f", "raw", "-n", "--target-image-opts", tmp_path / "plain", image], check=True
    )
    dumped = subprocess.run(
        [cryptsetup, "luksDump", "--dump-volume-key", "--batch-mode", "--key-file", "-", luks],
        input=b"secret",
        check=True,
        capture_output=True,
    ).stdout.decode()
    offset = re.search(r"Payload offset:\s*(\d+)", dumped)
    key = re.search(r"MK dump:\s*([0-9a-f\s]+)", dumped)
    assert offset is not None
    assert key is not None
    hexadecimal = "".join(key[1].split())
    assert len(hexadecimal) == bits // 2
    row = f"0 {SIZE // 512} crypt aes-xts-plain64 {hexadecimal} 0 luks {offset[1]}"

    with closing(open_table(parse_table(row), lambda name: FileDevice.open(luks, writable=True))) as device:
        assert read_bytes(device, 0, SIZE) == plain
        device.write(512 * 77, plain[: 512 * 99])
        device.flush()
    expected = bytearray(plain)
    expected[512 * 77 : 512 * 176] = plain[: 512 * 99]
    subprocess.run([qemu_img, "convert", *secret, "--image-opts", "-O", "raw", image, tmp_path / "back"], check=True)
    assert (tmp_path / "back").read_bytes() == expected
