from __future__ import annotations

from io import BytesIO
from xml.etree import ElementTree

from PIL import Image

from bootpath.report.canvas import Canvas


def drawing() -> Canvas:
    canvas = Canvas(100, 50)
    canvas.rect(10, 10, 20, 20, fill="#ff0000")
    canvas.rect(50, 10, 20, 20, stroke="#0000ff", stroke_width=2)
    canvas.text(10, 45, "a < b & c")
    return canvas


def test_svg_is_well_formed_and_escaped() -> None:
    root = ElementTree.fromstring(drawing().to_svg())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["a < b & c"]
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 3


def test_png_has_the_colours_where_they_were_drawn() -> None:
    image = Image.open(BytesIO(drawing().to_png()))
    assert image.size == (200, 100)
    assert image.getpixel((40, 40)) == (255, 0, 0)
    assert image.getpixel((101, 40)) == (0, 0, 255)
    assert image.getpixel((120, 40)) == (255, 255, 255)
    assert image.getpixel((199, 0)) == (255, 255, 255)
