"""A drawing of rectangles and text that becomes SVG (text) or PNG (through Pillow) and looks the same in both."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from bootpath.core.limits import check_limit
from bootpath.core.printable import Printable, printable

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_PNG_SCALE = 2
_XMLNS = "http://www.w3.org/2000/svg"
_FONT = "Aileron, Inter, Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class _Rect:
    x: float
    y: float
    width: float
    height: float
    fill: str | None
    stroke: str | None
    stroke_width: float


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: Printable
    size: float
    fill: str
    anchor: str


@dataclass(slots=True)
class Canvas:
    """Pixels from the top left corner; y grows downwards; a text's y is its baseline. Colours are ``#rrggbb``."""

    width: int
    height: int
    background: str = "#ffffff"
    _shapes: list[_Rect | _Text] = field(default_factory=list)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: str | None = None,
        stroke: str | None = None,
        stroke_width: float = 1,
    ) -> None:
        """A rectangle, filled, outlined, or both."""
        self._shapes.append(_Rect(x, y, width, height, fill, stroke, stroke_width))

    def text(
        self, x: float, y: float, text: str, *, size: float = 13, fill: str = "#263238", anchor: str = "start"
    ) -> None:
        """One line of text, made printable; `anchor` is start, middle or end."""
        self._shapes.append(_Text(x, y, printable(text), size, fill, anchor))

    def to_svg(self) -> str:
        """The drawing as an SVG 1.1 document."""
        lines = [
            f'<svg xmlns="{_XMLNS}" width="{self.width}" height="{self.height}" font-family="{_FONT}">',
            f'<rect width="{self.width}" height="{self.height}" fill="{self.background}"/>',
        ]
        for shape in self._shapes:
            if isinstance(shape, _Rect):
                stroke = f' stroke="{shape.stroke}" stroke-width="{shape.stroke_width:g}"' if shape.stroke else ""
                lines.append(
                    f'<rect x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}" '
                    f'fill="{shape.fill or "none"}"{stroke}/>'
                )
            else:
                lines.append(
                    f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size:g}" fill="{shape.fill}" '
                    f'text-anchor="{shape.anchor}">{escape(shape.text)}</text>'
                )
        return "\n".join([*lines, "</svg>", ""])

    def to_png(self) -> bytes:
        """The drawing as a PNG file, at twice its size in pixels. Raises LimitError."""
        from io import BytesIO

        from PIL import Image, ImageDraw, ImageFont

        width, height = self.width * _PNG_SCALE, self.height * _PNG_SCALE
        check_limit("picture_pixels", width * height, "the picture is too large")
        image = Image.new("RGB", (width, height), self.background)
        draw = ImageDraw.Draw(image)
        fonts: dict[float, FreeTypeFont] = {}
        for shape in self._shapes:
            if isinstance(shape, _Rect):
                box = (
                    shape.x * _PNG_SCALE,
                    shape.y * _PNG_SCALE,
                    (shape.x + shape.width) * _PNG_SCALE - 1,
                    (shape.y + shape.height) * _PNG_SCALE - 1,
                )
                draw.rectangle(
                    box, fill=shape.fill, outline=shape.stroke, width=max(round(shape.stroke_width * _PNG_SCALE), 1)
                )
            else:
                if shape.size not in fonts:
                    font = ImageFont.load_default(shape.size * _PNG_SCALE)
                    assert isinstance(font, ImageFont.FreeTypeFont)
                    fonts[shape.size] = font
                anchor = {"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor]
                position = (shape.x * _PNG_SCALE, shape.y * _PNG_SCALE)
                draw.text(position, shape.text, font=fonts[shape.size], fill=shape.fill, anchor=anchor)
        output = BytesIO()
        image.save(output, "PNG", optimize=True)
        return output.getvalue()
