"""Plain text from what a program wrote for a terminal.

Source: ECMA-48 §5.4 (control sequences), §5.6 (control strings); ISO 2022 for ``ESC ( B`` and its like.

- UTF-8, with U+FFFD for what is not; a character or an escape sequence may be split anywhere between two calls.
- Escape sequences disappear. Those that move to a place on the screen or clear it (CSI H, f, J) end the line instead:
  what follows stands elsewhere.
- Any number of CR before LF is one line end, and so is a CR alone (a progress display that writes over itself).
- Other control characters but TAB disappear.
- A sequence that is broken off, or longer than the limits in `_SEQUENCE`, is none: only its ESC disappears.

The text does not depend on where the bytes were cut.
"""

from __future__ import annotations

import codecs
import re

_SEQUENCE = re.compile(
    r"""\x1b(?:
        \[ [0-?]{0,64} [ -/]{0,8} (?P<final>[@-~])            # CSI: parameters, intermediates, final
      | [\]PX^_] [^\x07\x1b]{0,500} (?:\x07|\x1b\\)           # OSC, DCS, SOS, PM, APC: to BEL or ST
      | [ -/]{0,4} [0-OQ-WYZ\\`-~]                           # ESC: none of those openers
      | (?P<partial> (?:\[ [0-?]{0,64} [ -/]{0,8} | [\]PX^_] [^\x07\x1b]{0,500} \x1b? | [ -/]{0,4}) \Z)
      | (?P<broken>)
    )""",
    re.VERBOSE,
)
_MOVES = frozenset("HfJ")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END = re.compile(r"\r+\n?")


class TerminalText:
    """Bytes in, text out; what is not complete waits for the next call."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # the beginning of a sequence
        self._after_cr = False

    def feed(self, data: bytes) -> str:
        """The text of `data`, with whatever it completes."""
        text = _SEQUENCE.sub(self._replace, self._take_held() + self._decoder.decode(data))
        return self._line_ends(_CONTROL.sub("", text), final=False)

    def finish(self) -> str:
        """The text of what was held back: nothing more comes."""
        text = self._take_held() + self._decoder.decode(b"", final=True)
        return self._line_ends(_CONTROL.sub("", text), final=True)

    def _take_held(self) -> str:
        held, self._held = self._held, ""
        return held

    def _replace(self, match: re.Match[str]) -> str:
        if match["partial"] is not None:
            self._held = match[0]
        return "\n" if match["final"] in _MOVES else ""

    def _line_ends(self, text: str, *, final: bool) -> str:
        if self._after_cr:
            text = "\r" + text
        # A CR at the end may be the first half of a line end.
        self._after_cr = text.endswith("\r") and not final
        if self._after_cr:
            text = text.rstrip("\r")
        return _LINE_END.sub("\n", text)
