"""One law of the loader: whatever happens to the disk, what would run is what was signed, or nothing is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootpath.block.leaves.memory import MemoryDevice
from bootpath.boot.linux.choice import LinuxRequest, LinuxVerdict, NextCandidate
from bootpath.boot.linux.load import load_linux
from bootpath.boot.linux.result import LinuxBoot
from bootpath.boot.timeline import Timeline
from tests.support.ddi import Signer
from tests.support.linuximage import RootTree, fake_initrd, fake_kernel, make_linux_disk, make_volume


class Signed:
    """A disk with two versions of an image, in memory, and the places where a flip could matter most."""

    def __init__(self, directory: Path) -> None:
        signer = Signer.make(directory)
        volumes = [make_volume(directory / str(seed), RootTree.demo(seed), signer) for seed in (1, 2)]
        disk = make_linux_disk(directory / "disk.img", [("demo_1", volumes[0]), ("demo_2", volumes[1])])
        self.content = disk.path.read_bytes()
        self.request = LinuxRequest(
            certificates=(signer.certificate.read_bytes(),), next_candidate=NextCandidate.POLICY
        )
        # GPT; superblocks, trees and signatures of both; the first and the last blocks of both roots.
        self.places = [(0, 34 * 512), (len(self.content) - 34 * 512, 34 * 512)]
        for number, offset in disk.offsets.items():
            self.places.append((offset, 16384))
            if number in (1, 4):
                self.places.append((offset + len(volumes[0].data) - 16384, 16384))
        self.lines = {self.load(self.content).plan.command_line}  # type: ignore[union-attr]
        slot = LinuxRequest(certificates=self.request.certificates, slot="1")
        self.lines.add(self.load(self.content, slot).plan.command_line)  # type: ignore[union-attr]

    def load(self, content: bytes | bytearray, request: LinuxRequest | None = None) -> LinuxBoot:
        return load_linux(MemoryDevice(bytes(content)), request or self.request, Timeline(time.monotonic))

    def offsets(self) -> st.SearchStrategy[int]:
        near = st.sampled_from(self.places).flatmap(lambda place: st.integers(place[0], place[0] + place[1] - 1))
        return st.one_of(near, st.integers(0, len(self.content) - 1))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return Signed(tmp_path_factory.mktemp("signed"))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bits_are_refused_or_do_not_matter(signed: Signed, data: st.DataObject) -> None:
    content = bytearray(signed.content)
    for offset in data.draw(st.lists(signed.offsets(), min_size=1, max_size=4)):
        content[offset] ^= 1 << data.draw(st.integers(0, 7))
    boot = signed.load(content)
    if boot.loaded is None:
        assert boot.refusal
        return
    assert boot.verdict is LinuxVerdict.VERIFIED
    assert (boot.loaded.kernel, boot.loaded.initrd) in [(fake_kernel(seed), fake_initrd(seed)) for seed in (1, 2)]
    assert boot.plan is not None
    # A bit of the protective MBR, or of the first copy of the table, and Linux is told which one to believe.
    assert boot.plan.command_line.replace(" gpt ", " ") in signed.lines


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_runs_that_are_overwritten_or_moved(signed: Signed, data: st.DataObject) -> None:
    """Zeros, or other parts of the disk, in the place of a run; and a disk that ends early."""
    content = bytearray(signed.content)
    target, source = data.draw(signed.offsets()), data.draw(signed.offsets())
    length = min(data.draw(st.sampled_from([1, 512, 4096, 65536])), len(content) - max(target, source))
    content[target : target + length] = signed.content[source : source + length]
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(1, len(content) // 4096)) * 4096]
    boot = signed.load(content)
    if boot.loaded is not None:
        assert boot.verdict is LinuxVerdict.VERIFIED
        assert boot.loaded.kernel in (fake_kernel(1), fake_kernel(2))
