"""The kernel command line: split into parameters, quoted, joined and measured.

Source: Linux lib/cmdline.c (next_arg), lib/ctype.c, kernel/params.c (parse_args, parameq), init/main.c.

::

    name | name=value | name="value with blanks" | "name=value with blanks"

- Parameters are separated by the blanks of Linux's isspace: space, \\t, \\n, \\v, \\f, \\r, and the byte 0xa0.
- A double quote makes blanks part of a parameter until the next one. It cannot be escaped. A quote that begins the
  value, or the whole parameter, is no part of it, and neither is the one at its end; all others are.
- The name ends at the first equals sign that is not the first character.
- In names, a hyphen and an underscore are the same: compare `Parameter.key`.
- What stands behind ``--`` belongs to init.

Linux accepts a quote that does not end. It also cuts UTF-8 characters in two that have the byte 0xa0 and stand outside
quotes ("à" is c3 a0). Both are refused here, since nobody means them: what bootpath writes is never cut or guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from reprlib import repr as brief

from bootpath.core.errors import BootError, FormatError
from bootpath.formats.partitions.dps import Architecture

COMMAND_LINE_BYTES = 2048
"""Linux's COMMAND_LINE_SIZE on x86 and arm64, with the NUL."""
_COMMAND_LINE_BYTES = {
    Architecture.ALPHA: 256,
    Architecture.ARC: 256,
    Architecture.ARM: 1024,
    Architecture.MIPS: 4096,
    Architecture.MIPS_LE: 4096,
    Architecture.MIPS64: 4096,
    Architecture.MIPS64_LE: 4096,
    Architecture.PARISC: 1024,
    Architecture.RISCV32: 1024,
    Architecture.RISCV64: 1024,
}
"""Where arch/*/include/uapi/asm/setup.h has another one (Linux 6.1)."""
WHERE = "kernel command line"
_BLANKS = " \t\n\v\f\r"
_PARAMETER = re.compile(rf'(?:[^{_BLANKS}"]+|"[^"]*")++')
_GAP = re.compile(rf"[{_BLANKS}]*")
_QUOTED = re.compile(r'"[^"]*"')
_BLANK_BYTE = 0xA0


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `text` is how it stands on the line, with its quotes. Raises FormatError."""

    text: str

    def __post_init__(self) -> None:
        if list(_pieces(self.text)) != [self.text]:
            raise FormatError(f"{brief(self.text)} is not one parameter", where=WHERE)

    @property
    def name(self) -> str:
        """What stands before the equals sign."""
        return _read(self.text)[0]

    @property
    def key(self) -> str:
        """The name as Linux compares it (parameq): with underscores for hyphens."""
        return self.name.replace("-", "_")

    @property
    def value(self) -> str | None:
        """What stands behind the equals sign, without quotes around it; None without an equals sign."""
        return _read(self.text)[1]

    @property
    def ends_kernel(self) -> bool:
        """True for ``--``: what follows is for init."""
        return _read(self.text) == ("--", None)

    def __str__(self) -> str:
        return self.text


def quote(name: str, value: object = None) -> Parameter:
    """The parameter with this name and value, quoted where it must be.

    Raises FormatError when Linux would read another name or value, however it is quoted.
    """
    wanted = (name, None if value is None else str(value))
    plain = name if value is None else f"{name}={value}"
    for text in (plain, f'{name}="{value}"', f'"{plain}"'):
        if list(_try_pieces(text)) == [text] and _read(text) == wanted:
            return Parameter(text)
    raise FormatError(f"{brief(plain)} cannot be quoted for Linux", where=WHERE, hint="a quote cannot be escaped")


def split_parameters(text: str) -> tuple[Parameter, ...]:
    """The parameters of a command line, each as it stands there. Raises FormatError."""
    return tuple(map(Parameter, _pieces(text)))


def join_parameters(parameters: Iterable[Parameter], *, limit_bytes: int = COMMAND_LINE_BYTES) -> str:
    """The command line. Raises BootError when it is longer than the kernel takes (`limit_bytes`, with the NUL)."""
    line = " ".join(parameter.text for parameter in parameters)
    length = len(line.encode("utf-8", "surrogateescape"))
    if length >= limit_bytes:
        raise BootError(
            f"the command line has {length} bytes, and the kernel would cut it",
            where=WHERE,
            expected=f"< {limit_bytes}",
        )
    return line


def split_init(parameters: Iterable[Parameter]) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """The kernel's parameters, and from ``--`` on what belongs to init."""
    listed = tuple(parameters)
    end = next((index for index, parameter in enumerate(listed) if parameter.ends_kernel), len(listed))
    return listed[:end], listed[end:]


def command_line_bytes(architecture: Architecture) -> int:
    """What Linux takes on an architecture, with the NUL."""
    return _COMMAND_LINE_BYTES.get(architecture, COMMAND_LINE_BYTES)


def insert_parameters(line: str, added: Iterable[Parameter]) -> str:
    """The command line with more parameters for the kernel, before what belongs to init. Raises FormatError."""
    kernel, init = split_init(split_parameters(line))
    return " ".join(parameter.text for parameter in (*kernel, *added, *init))


def _pieces(text: str) -> Iterator[str]:
    """The text of each parameter. Raises FormatError."""
    if text.count('"') % 2:
        raise FormatError("a quote does not end", where=WHERE, found=brief(text))
    if "\0" in text:
        raise FormatError("the command line has a NUL", where=WHERE, found=brief(text))
    try:
        encoded = _QUOTED.sub("", text).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise FormatError("the command line has a lone surrogate", where=WHERE, found=brief(text)) from None
    if _BLANK_BYTE in encoded:
        raise FormatError(
            "a character has the byte 0xa0, which Linux reads as a blank",
            where=WHERE,
            found=brief(text),
            hint="quote it",
        )
    position = _end(_GAP.match(text))
    while position < len(text):
        end = _end(_PARAMETER.match(text, position))
        yield text[position:end]
        position = _end(_GAP.match(text, end))


def _try_pieces(text: str) -> Iterator[str]:
    try:
        yield from _pieces(text)
    except FormatError:
        return


def _end(match: re.Match[str] | None) -> int:
    assert match is not None  # quotes are balanced, so something always matches
    return match.end()


def _read(text: str) -> tuple[str, str | None]:
    """The name and the value, as next_arg reads them."""
    quoted = text.startswith('"')
    if quoted:
        text = text[1:]
    equals = text.find("=", 1)
    if equals < 0:
        return text.removesuffix('"') if quoted else text, None
    name, value = text[:equals], text[equals + 1 :]
    if value.startswith('"'):
        return name, value[1:].removesuffix('"')
    return name, value.removesuffix('"') if quoted else value
