"""Complete disk images in the volumes of a group: which one is loaded, and how its root is named."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from bootpath.block.leaves.file import FileDevice
from bootpath.boot.linux.choice import LinuxRequest, RefusalReason
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from tests.support.ddi import DISK_GUID, Signer, Volume
from tests.support.linuximage import RootTree, make_volume
from tests.support.lvmdisk import uuid
from tests.support.volumeimages import make_volume_images


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.make(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, signer: Signer) -> list[Volume]:
    directory = tmp_path_factory.mktemp("bundles")
    return [make_volume(directory / str(seed), RootTree.demo(seed), signer) for seed in (1, 2)]


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory, bundles: list[Volume]) -> Path:
    """One bundle in both volumes: nothing in them differs."""
    path = tmp_path_factory.mktemp("twins") / "disk.img"
    return make_volume_images(path, {"primary": bundles[0], "secondary": bundles[0]})


def load(path: Path, signer: Signer, **more: object) -> LinuxBoot:
    with closing(FileDevice.open(path)) as disk:
        request = LinuxRequest(certificates=(signer.certificate.read_bytes(),), **more)  # type: ignore[arg-type]
        return load_linux(disk, request, Timeline(time.monotonic))


@pytest.mark.parametrize("slot", ["internal/secondary", "internal/secondary/1"])
def test_the_volume_is_the_slot_of_the_image_in_it(twins: Path, signer: Signer, slot: str) -> None:
    boot = load(twins, signer, slot=slot)
    assert boot.refusal is None
    assert boot.plan is not None
    volume = f"LV={uuid(900)}/{uuid(2)}"
    data = boot.contents.node("internal/secondary/1")
    assert data is not None
    assert data.partition is not None
    words = boot.plan.command_line.split()
    assert f"systemd.verity_root_data={volume}/1" in words
    assert f"systemd.verity_root_hash={volume}/2" in words
    assert f"bootpath.slot={DISK_GUID}:1:2048" in words
    assert not any(word.startswith("root=") for word in words)


@pytest.mark.parametrize("slot", [None, f"{DISK_GUID}:1", "internal"])
def test_nothing_but_the_volume_tells_twins_apart(twins: Path, signer: Signer, slot: str | None) -> None:
    boot = load(twins, signer, slot=slot)
    assert boot.refusal is not None
    if slot == "internal":
        assert boot.refusal.reason is RefusalReason.NO_SUCH_SLOT
    else:
        assert boot.refusal.reason is RefusalReason.AMBIGUOUS
        assert "internal/primary/1" in str(boot.refusal)
        assert "internal/secondary/1" in str(boot.refusal)


def test_two_bundles_each_from_its_volume(tmp_path: Path, bundles: list[Volume], signer: Signer) -> None:
    path = make_volume_images(tmp_path / "disk.img", {"primary": bundles[0], "secondary": bundles[1]})
    for name, volume in zip(("primary", "secondary"), bundles, strict=True):
        boot = load(path, signer, slot=f"internal/{name}")
        assert boot.chosen is not None
        assert boot.chosen.root_hash == volume.root_hash
    by_hash = load(path, signer, root_hash=bundles[1].root_hash)
    assert by_hash.chosen is not None
    assert by_hash.chosen.data.path == "internal/secondary/1"
