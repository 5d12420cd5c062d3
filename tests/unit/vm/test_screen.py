from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from bootpath.core.errors import MachineError
from bootpath.vm.screen import screendump


def test_qemu_writes_png(tmp_path: Path) -> None:
    asked: list[object] = []

    def execute(command: str, arguments: Mapping[str, object] | None = None) -> object:
        asked.append((command, arguments))
        return {}

    screendump(execute, tmp_path / "a.png")
    assert asked == [("screendump", {"filename": str(tmp_path / "a.png"), "format": "png"})]


@pytest.mark.parametrize("refusal", ["Parameter 'format' is unexpected", "PNG support is not compiled in"])
def test_without_png_the_picture_is_converted(tmp_path: Path, refusal: str) -> None:
    def execute(command: str, arguments: Mapping[str, object] | None = None) -> object:
        assert arguments is not None
        if "format" in arguments:
            raise MachineError(refusal)
        Path(str(arguments["filename"])).write_bytes(b"P6\n2 1\n255\n\x00\x00\x00\xff\x80\x00")
        return {}

    screendump(execute, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG"
        assert image.getpixel((1, 0)) == (255, 128, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_other_refusals_are_errors(tmp_path: Path) -> None:
    def execute(command: str, arguments: Mapping[str, object] | None = None) -> object:
        raise MachineError("There is no console to take a screendump from")

    with pytest.raises(MachineError, match="no console"):
        screendump(execute, tmp_path / "a.png")
