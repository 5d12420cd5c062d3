"""The status page as a browser shows it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from bootpath.core.errors import DeviceError
from bootpath.serve.monitor.status import StatusSource
from bootpath.serve.monitor.web import StatusServer
from tests.support.status import MIB, make_server, make_service
from tests.support.tools import tool


@pytest.fixture(scope="module")
def page() -> Iterator[StatusServer]:
    service = make_service(steps=2)
    assert service.overlay is not None
    service.overlay.write(6 * MIB, b"x" * MIB)
    service.overlay.discard(7 * MIB, MIB)
    server = make_server(service)
    server._counters.reads = 1234
    server._counters.read_bytes = 5 * MIB
    page = StatusServer(StatusSource(server, service, uri="nbd+unix:///?socket=/run/disk.sock"), "127.0.0.1", 0)
    page.start()
    yield page
    page.close()


def browse(url: str, profile: Path, *options: str) -> str:
    command = [
        tool("chromium"),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        *options,
        url,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def text_of(dom: str, name: str) -> str:
    found = re.search(rf'<\w+[^>]* id="{name}"[^>]*>([^<]*)<', dom)
    assert found is not None, name
    return found[1]


def test_the_browser_shows_the_map_and_the_numbers(page: StatusServer, tmp_path: Path) -> None:
    dom = browse(page.url, tmp_path, "--dump-dom")
    states = re.findall(r'<rect[^>]*data-part="state"[^>]*class="(\w+)"', dom)
    assert len(states) == 1024
    cells = {state: states.count(state) for state in set(states)}
    assert cells == {"disk": 384, "preload": 256, "hydrating": 128, "overlay": 128, "zero": 128}
    assert text_of(dom, "title") == "small.img"
    assert text_of(dom, "uri") == "nbd+unix:///?socket=/run/disk.sock"
    assert text_of(dom, "disk") == "disk present"
    assert text_of(dom, "preload") == "66 %"
    assert text_of(dom, "preload-bytes") == "2 MiB of 3 MiB"
    assert text_of(dom, "overlay") == "1 MiB"
    assert text_of(dom, "read-total") == "5 MiB in 1,234 requests"
    assert text_of(dom, "trouble") == ""
    assert "written" in dom


@pytest.mark.parametrize("size", ["1120,980", "420,1500"])
def test_the_picture_is_not_blank(page: StatusServer, tmp_path: Path, size: str) -> None:
    picture = tmp_path / "page.png"
    browse(page.url, tmp_path / "profile", f"--screenshot={picture}", f"--window-size={size}")
    with Image.open(picture) as image:
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
        assert image.width == int(size.partition(",")[0])
    assert colours is not None
    areas = {colour: count for count, colour in colours}
    total = sum(areas.values())
    # The five colours of the map, in light or in dark.
    light = [(0xC3, 0xC9, 0xD3), (0xEB, 0xA4, 0x17), (0x18, 0xA1, 0x77), (0x2F, 0x6F, 0xEB), (0xEC, 0xEE, 0xF1)]
    dark = [(0x4B, 0x54, 0x63), (0xF0, 0xB5, 0x3A), (0x2C, 0xC3, 0x91), (0x5B, 0x93, 0xFF), (0x26, 0x2B, 0x34)]
    assert any(all(areas.get(colour, 0) > total / 200 for colour in scheme) for scheme in (light, dark))


def test_a_server_that_is_gone_is_said(tmp_path: Path) -> None:
    service = make_service()
    page = StatusServer(StatusSource(make_server(service), service), "127.0.0.1", 0)

    def fail() -> str:
        raise DeviceError("nothing to see")

    page.pages["/status.json"] = ("application/json", fail)
    page.start()
    try:
        dom = browse(page.url, tmp_path, "--dump-dom")
    finally:
        page.close()
    assert "does not answer" in text_of(dom, "trouble")
