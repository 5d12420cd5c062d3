"""Disks that others packed: each made by the program whose format it is, and read as the disk that went in."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from bootpath.block.leaves.images.open import ImageRules
from bootpath.block.leaves.open import open_device
from bootpath.cli.main import main
from bootpath.core.device import Device, read_bytes
from bootpath.core.diskimage import disk_images
from bootpath.core.errors import DeviceError, Error, FormatError, LimitError
from bootpath.core.limits import limits_raised
from tests.support.daemons import serving
from tests.support.tools import tool

MIB = 1 << 20
SIZE = 6 * MIB


def content() -> bytes:
    """Noise, text that repeats and zeros, a megabyte of each; and an end within a block of everything but 512."""
    noise = Random(1).randbytes(MIB)
    pieces = [bytes(MIB), noise, b"0123456789abcdef" * (MIB // 16), bytes(MIB), noise[::-1], bytes(MIB)]
    return b"".join(pieces)[: SIZE - 512]


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "disk.img"
    path.write_bytes(content())
    return path


def run(*words: str | Path) -> bytes:
    return subprocess.run(list(map(str, words)), check=True, capture_output=True).stdout


def converted(form: str, *options: str) -> Callable[[Path, Path], None]:
    def make(raw: Path, image: Path) -> None:
        run(tool("qemu-img"), "convert", "-f", "raw", "-O", form, *options, raw, image)

    return make


def filtered(*command: str) -> Callable[[Path, Path], None]:
    def make(raw: Path, image: Path) -> None:
        image.write_bytes(run(tool(command[0]), *command[1:], raw))

    return make


def gzip_members(raw: Path, image: Path) -> None:
    half = image.with_name("half")
    data = raw.read_bytes()
    for part in (data[: 3 * MIB + 5], data[3 * MIB + 5 :]):
        half.write_bytes(part)
        with image.open("ab") as file:
            file.write(run(tool("gzip"), "-c", half))
    with image.open("ab") as file:
        file.write(bytes(5000))


def xz_streams(raw: Path, image: Path) -> None:
    half = image.with_name("half")
    data = raw.read_bytes()
    for part, checks in ((data[: 3 * MIB + 5], "sha256"), (data[3 * MIB + 5 :], "crc32")):
        half.write_bytes(part)
        with image.open("ab") as file:
            file.write(run(tool("xz"), "-c", f"--check={checks}", "--block-size=1MiB", half) + bytes(8))


def zstd_frames(raw: Path, image: Path) -> None:
    half = image.with_name("half")
    data = raw.read_bytes()
    skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    with image.open("wb") as file:
        for part in (data[: 3 * MIB + 5], data[3 * MIB + 5 :]):
            half.write_bytes(part)
            file.write(skipped + run(tool("zstd"), "-q", "-c", half))
        file.write(skipped)


def sparse(raw: Path, image: Path) -> None:
    run(tool("img2simg"), raw, image)


def qcow2_in_xz(raw: Path, image: Path) -> None:
    inner = image.with_name("inner")
    converted("qcow2")(raw, inner)
    image.write_bytes(run(tool("xz"), "-c", "--block-size=256KiB", inner))


IMAGES: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "qcow2": (converted("qcow2"), "qcow2 (version 3)"),
    "qcow2 of before": (converted("qcow2", "-o", "compat=0.10"), "qcow2 (version 2)"),
    "qcow2, compressed": (converted("qcow2", "-c", "-o", "compression_type=zstd"), "qcow2 (version 3)"),
    "qcow2, subclusters": (converted("qcow2", "-o", "extended_l2=on,cluster_size=128k"), "qcow2 (version 3)"),
    "qcow": (converted("qcow"), "qcow"),
    "VMDK": (converted("vmdk"), "VMDK"),
    "VMDK, stream": (converted("vmdk", "-o", "subformat=streamOptimized"), "VMDK"),
    "VHDX": (converted("vhdx"), "VHDX"),
    "VHD": (converted("vpc", "-o", "force_size=on"), "VHD"),
    "VDI": (converted("vdi"), "VDI"),
    "gzip": (filtered("gzip", "-c"), "gzip (unpacked as a whole)"),
    "gzip, members": (gzip_members, "gzip (unpacked as a whole)"),
    "xz": (filtered("xz", "-c"), "xz (1 block, read in place)"),
    "xz, blocks": (filtered("xz", "-c", "--block-size=1MiB"), "xz (6 blocks, read in place)"),
    "xz, streams": (xz_streams, "xz (7 blocks, read in place)"),
    "zstd": (filtered("zstd", "-q", "-c"), "zstd (unpacked as a whole)"),
    "zstd, frames": (zstd_frames, "zstd (unpacked as a whole)"),
    "Android sparse": (sparse, "Android sparse image"),
    "qcow2 in xz": (qcow2_in_xz, "xz"),
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "image"


def everything(device: Device) -> bytes:
    return b"".join(
        read_bytes(device, at, min(MIB - 512, device.size_bytes - at)) for at in range(0, device.size_bytes, MIB - 512)
    )


@pytest.mark.parametrize("name", IMAGES)
def test_what_is_read_is_what_went_in(name: str, raw: Path, image: Path, tmp_path: Path) -> None:
    make, described = IMAGES[name]
    make(raw, image)
    before = image.read_bytes()
    with closing(open_device(str(image))) as device:
        expected = content()
        expected += bytes(device.size_bytes - len(expected))
        assert str(disk_images(device)[0]).startswith(described)
        assert device.read_only
        assert len(expected) - len(content()) in (0, 512)  # some formats round up
        assert everything(device) == expected
        random = Random(2)
        for _ in range(50):
            at = random.randrange(0, device.size_bytes, 512)
            length = min(random.choice([512, 4096, 70 * 1024]), device.size_bytes - at)
            assert read_bytes(device, at, length) == expected[at : at + length]
            assert sum(each.length for each in device.extents(at, length)) == length
    assert image.read_bytes() == before


def test_it_is_shown(raw: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qcow2_in_xz(raw, image)
    assert main(["inspect", str(image)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("  container: xz (")
    assert lines[2].startswith("  container: qcow2 (version 3), ")
    assert main(["inspect", "--json", str(image)]) == 3
    page = json.loads(capsys.readouterr().out)
    assert [each["kind"] for each in page["containers"]] == ["xz", "qcow2"]


def test_an_image_that_ends_within_a_block_is_not_copied(
    raw: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted("qcow2")(raw, image)
    with image.open("ab") as file:
        file.write(b"x" * 100)
    monkeypatch.delattr("bootpath.block.leaves.images.qemu.unpack_whole")
    with closing(open_device(str(image))) as device:
        assert everything(device)[: SIZE - 512] == content()


@pytest.mark.parametrize("name", ["qcow2", "xz, blocks", "gzip", "Android sparse"])
def test_it_is_served_and_written_over(name: str, raw: Path, image: Path, tmp_path: Path) -> None:
    IMAGES[name][0](raw, image)
    before = image.read_bytes()
    with serving("main", "serve", image, "--socket", tmp_path / "s") as daemon:
        assert run(tool("nbdcopy"), daemon.uri, "-")[: SIZE - 512] == content()
        with closing(open_device(daemon.uri, writable=True)) as device:
            device.write(4096, b"x" * 4096)
            assert read_bytes(device, 4096, 4096) == b"x" * 4096
    assert image.read_bytes() == before


# What an image may make us open


SECRET = b"secret of this machine\n".ljust(512, b".")


def over_absolute_path(place: Path) -> Path:
    image = place / "image"
    (place / "secret").write_bytes(SECRET)
    run(tool("qemu-img"), "create", "-f", "qcow2", "-b", place / "secret", "-F", "raw", image)
    return image


def over_relative_path(place: Path) -> Path:
    image = place / "image"
    run(tool("qemu-img"), "create", "-f", "qcow2", place / "below", "1M")
    run(tool("qemu-img"), "create", "-f", "qcow2", "-b", "below", "-F", "qcow2", image)
    return image


def over_a_driver(place: Path) -> Path:
    image = place / "image"
    spec = 'json:{"driver":"raw","file":{"driver":"file","filename":"/etc/hostname"}}'
    run(tool("qemu-img"), "create", "-u", "-f", "qcow2", "-b", spec, "-F", "raw", image, "1M")
    return image


def with_a_data_file(place: Path) -> Path:
    image = place / "image"
    run(tool("qemu-img"), "create", "-f", "qcow2", "-o", f"data_file={place / 'data'},data_file_raw=on", image, "1M")
    return image


def with_extents(place: Path) -> Path:
    image = place / "image"
    (place / "source").write_bytes(SECRET * 4096)
    run(tool("qemu-img"), "convert", "-O", "vmdk", "-o", "subformat=monolithicFlat", place / "source", image)
    return image


def over_another_vmdk(place: Path) -> Path:
    image = place / "image"
    run(tool("qemu-img"), "create", "-f", "vmdk", place / "below", "1M")
    run(tool("qemu-img"), "create", "-f", "vmdk", "-b", place / "below", "-F", "vmdk", image)
    return image


NAMING = {
    "backing file": over_absolute_path,
    "backing image": over_relative_path,
    "driver": over_a_driver,
    "data file": with_a_data_file,
    "extents": with_extents,
    "parent": over_another_vmdk,
}


@pytest.mark.parametrize("name", NAMING)
@pytest.mark.parametrize("command", ["inspect", "entries", "plan", "serve", "simulate", "boot"])
def test_an_image_that_names_another_file_is_refused(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = NAMING[name](tmp_path)
    assert main([command, str(image), *(["--run", "exit 77"] if command == "serve" else [])]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "names another file" in said or "needs another image below it" in said
    assert "--allow-backing-file" in said or name == "parent"


@pytest.mark.parametrize("name", ["backing file", "backing image", "data file", "extents"])
def test_and_read_when_that_is_allowed(name: str, tmp_path: Path) -> None:
    image = NAMING[name](tmp_path)
    with closing(open_device(str(image), images=ImageRules(allow_backing_file=True))) as device:
        expected = SECRET if name in ("backing file", "extents") else bytes(512)
        assert read_bytes(device, 0, 512) == expected


@pytest.mark.parametrize("name", ["driver", "parent"])
def test_what_is_no_file_is_refused_whatever_is_allowed(name: str, tmp_path: Path) -> None:
    image = NAMING[name](tmp_path)
    with pytest.raises(FormatError, match=r"names something that is no file|needs another image"):
        open_device(str(image), images=ImageRules(allow_backing_file=True))


@pytest.mark.parametrize("line", ["RW +8 FLAT {}", "RW 8FLAT {}", "RW 1\nRW 8 FLAT {}", 'RW 8 SPARSE "inner"'])
def test_an_extent_is_beside_the_image_whatever_qemu_would_read(line: str, tmp_path: Path) -> None:
    """Each of these was opened by QEMU, and read as the disk; the last one by way of an extent that names it."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other/secret").write_bytes(SECRET * 8)
    descriptor = '# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\ncreateType="{}"\n{}\n'
    named = f'"{tmp_path}/other/secret" 0'
    text = descriptor.format("monolithicFlat", f"RW 8 FLAT {named}").encode()
    header = struct.pack("<4sIIQQQQIQQQ", b"KDMV", 1, 3, 0, 128, 1, 20, 512, 0, 0, 128)
    (tmp_path / "inner").write_bytes(header.ljust(512, b"\0") + text.ljust(20 * 512, b"\0"))
    kind = "twoGbMaxExtentSparse" if "inner" in line else "monolithicFlat"
    (tmp_path / "image").write_text(descriptor.format(kind, line.format(named)))
    with pytest.raises(FormatError, match=r"line of an extent is not valid|has no capacity"):
        open_device(str(tmp_path / "image"), images=ImageRules(allow_backing_file=True))


def test_a_chain_has_an_end(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    run(tool("qemu-img"), "create", "-u", "-f", "qcow2", "-b", "loop", "-F", "qcow2", loop, "1M")
    with pytest.raises(LimitError, match="too many images stand one below the other"):
        open_device(str(loop), images=ImageRules(allow_backing_file=True))


def test_a_packed_image_names_nothing(tmp_path: Path) -> None:
    image = over_absolute_path(tmp_path)
    (tmp_path / "packed").write_bytes(run(tool("gzip"), "-c", image))
    with pytest.raises(FormatError, match="names another file"):
        open_device(str(tmp_path / "packed"), images=ImageRules(allow_backing_file=True))


@pytest.mark.parametrize("name", ["qcow2", "gzip", "xz, blocks", "Android sparse"])
def test_a_raw_file_that_a_guest_made_look_like_another_format(
    name: str, raw: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    IMAGES[name][0](raw, image)
    whole = image.read_bytes() + bytes(-image.stat().st_size % 512)
    image.write_bytes(whole)
    with closing(open_device(str(image), images=ImageRules(raw=True))) as device:
        assert everything(device) == whole
    assert main(["inspect", "--raw", str(image)]) == 3
    assert "container" not in capsys.readouterr().out
    # What is recognised is never written to, so that no raw file becomes such a one by way of this.
    with pytest.raises(DeviceError, match="which is only read here"):
        open_device(str(image), writable=True)
    table = tmp_path / "table"
    table.write_text(f"0 1 linear {image} 0\n")
    words = ["dm", "serve", "--table", str(table), "--writable", "--socket", str(tmp_path / "s"), "--run", "exit 77"]
    assert main(words) == 1
    assert "--raw takes the file as it is" in capsys.readouterr().err
    assert main([*words, "--raw"]) == 77
    assert image.read_bytes() == whole


def test_a_mark_that_is_not_at_the_start_is_none(raw: Path, image: Path, tmp_path: Path) -> None:
    fixed = tmp_path / "fixed.vhd"
    converted("vpc", "-o", "subformat=fixed,force_size=on")(raw, fixed)
    with closing(open_device(str(fixed))) as device:
        assert disk_images(device) == ()
        assert device.size_bytes == fixed.stat().st_size


def test_an_overlay_is_not_committed_into_what_is_packed(
    raw: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted("qcow2")(raw, image)
    overlay = tmp_path / "overlay"
    with (
        serving("main", "serve", image, "--overlay", overlay, "--socket", tmp_path / "s") as daemon,
        closing(open_device(daemon.uri, writable=True)) as device,
    ):
        device.write(4096, b"x" * 4096)
    before = image.read_bytes()
    assert main(["overlay", "commit", str(overlay), str(image), "--apply"]) == 1
    assert "of the format qcow2, which is only read here" in capsys.readouterr().err
    # With --raw the file is the disk, and the overlay is not of such a one.
    assert main(["overlay", "commit", "--raw", str(overlay), str(image), "--apply"]) == 1
    assert image.read_bytes() == before


# What goes wrong


def test_without_the_program(
    raw: Path, image: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    converted("qcow2")(raw, image)
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["inspect", str(image)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "the disk is a qcow2 image, which qemu-nbd reads, and that is not installed" in said
    assert "apt install qemu-utils" in said


def test_what_qemu_says_is_the_error(raw: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted("qcow2")(raw, image)
    with image.open("r+b") as file:
        file.seek(40)
        file.write(b"\xff" * 8)  # where the L1 table is
    assert main(["inspect", str(image)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "QEMU cannot open the image: " in said
    assert "json:" not in said


@pytest.mark.parametrize(
    "name",
    [
        "qcow2",
        "qcow2 of before",
        "VHDX",
        "VMDK, stream",
        "VDI",
        "gzip",
        "xz",
        "xz, blocks",
        "zstd",
        "zstd, frames",
        "Android sparse",
    ],
)
def test_half_of_it_is_a_failure(name: str, raw: Path, image: Path) -> None:
    IMAGES[name][0](raw, image)
    os.truncate(image, image.stat().st_size // 2)
    with pytest.raises(Error) as caught, closing(open_device(str(image))) as device:
        everything(device)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(image))


@pytest.mark.parametrize("name", ["gzip", "xz, blocks", "xz", "zstd"])
def test_a_bit_that_flips_is_noticed(name: str, raw: Path, image: Path) -> None:
    IMAGES[name][0](raw, image)
    data = bytearray(image.read_bytes())
    data[len(data) // 2] ^= 4
    image.write_bytes(data)
    with pytest.raises((DeviceError, FormatError)), closing(open_device(str(image))) as device:
        everything(device)


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd"])
def test_a_bomb_is_no_larger_than_allowed(name: str, image: Path, tmp_path: Path) -> None:
    (tmp_path / "zeros").write_bytes(bytes(64 * MIB))
    IMAGES[name][0](tmp_path / "zeros", image)
    with (
        limits_raised(unpacked_image_bytes=32 * MIB, packed_block_bytes=MIB),
        pytest.raises(LimitError, match="the unpacked disk is too large"),
    ):
        open_device(str(image))


def test_no_room_is_said(raw: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    IMAGES["gzip"][0](raw, image)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    with pytest.raises(DeviceError, match=r"the disk cannot be unpacked.*found /nowhere.*set TMPDIR"):
        open_device(str(image))


def test_a_long_place_for_temporary_files(
    raw: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted("qcow2")(raw, image)
    (tmp_path / ("x" * 120)).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 120)))
    with closing(open_device(str(image))) as device:
        assert read_bytes(device, 0, SIZE - 512) == content()
    assert list((tmp_path / ("x" * 120)).iterdir()) == []


def test_several_processes_cannot_share_qemu(
    raw: Path, image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted("qcow2")(raw, image)
    assert main(["serve", str(image), "--workers", "2", "--socket", str(tmp_path / "s"), "--run", "exit 77"]) == 1
    assert "--workers cannot share qemu-nbd" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gzip", "xz, blocks", "Android sparse"])
def test_but_they_share_what_is_read_here(name: str, raw: Path, image: Path, tmp_path: Path) -> None:
    IMAGES[name][0](raw, image)
    with serving("main", "serve", image, "--workers", "2", "--socket", tmp_path / "s") as daemon:
        assert run(tool("nbdcopy"), daemon.uri, "-")[: SIZE - 512] == content()


def test_qemu_ends_when_we_are_killed(raw: Path, image: Path) -> None:
    converted("qcow2")(raw, image)
    script = (
        "import sys, time; from bootpath.block.leaves.open import open_device; "
        "device = open_device(sys.argv[1]); print(device._pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, image], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert Path(f"/proc/{pid}/comm").read_text() == "qemu-nbd\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        os.sched_yield()
