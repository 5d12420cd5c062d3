"""The one error tree.

    Error
    ├── FormatError         bytes that do not say what their format promises
    │   └── LimitError      they may, but cost more than is allowed (`core.limits`)
    ├── DeviceError         a device cannot do what was asked (carries an errno)
    │   └── IntegrityError  it can, but the data is not what was promised (errno EIO)
    ├── FileSystemError     a path or an operation on a file system fails (carries an errno)
    ├── TableError          a device-mapper table that cannot be opened
    │   └── UnsupportedError  though nothing is wrong with it: it is of a kind that is not read here
    ├── ProtocolError
    │   ├── LocalProtocolError    we broke the protocol
    │   └── RemoteProtocolError   the peer did
    ├── SignatureError      a signature that does not verify
    ├── BootError           the boot path ends before the root is mounted
    ├── MachineError        a virtual machine does not start, answer, or say what was awaited
    └── UpdateError         an update that must not be, or could not be, applied

Every error says what is wrong and where, and where it helps what was expected, what was found, the specification that
was broken, and what to do. Its message is one line, made of the fields and nothing else::

    <where>: <what>; expected <expected>, found <found> (<spec>); <hint>

    disk.img: gpt: the header's CRC does not match; expected 0x9a, found 0x1f (UEFI 2.10 §5.3.2); use --repair

So `what` is a clause with a subject that stands alone ("data block 900 does not match the root hash", "the export is
read-only"), without a capital and without a full stop. It never needs `expected` or `found` to be complete. They are
noun phrases or values ("at least 4096 bytes", 512), `hint` is an imperative or a question. `where` begins with the
outermost name (a path), and `Error.at` adds one before it.
"""

from __future__ import annotations

import errno as _errno
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


class Error(Exception):
    """Base of everything this package raises on purpose.

    ``what`` is the fact, a clause that stands alone; ``where`` the device, format or step in which it was seen;
    ``expected`` and ``found`` are the two sides of a comparison, ``spec`` is the document and section, ``hint`` what
    the reader can do about it. The module's docstring has the message that is made of them.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: object = None,
        found: object = None,
        spec: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.spec = spec
        self.hint = hint

    def __str__(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        sides = (("expected", self.expected), ("found", self.found))
        compared = ", ".join(f"{name} {side}" for name, side in sides if side is not None)
        if compared:
            text += f"; {compared}"
        if self.spec is not None:
            text += f" ({self.spec})"
        return text if self.hint is None else f"{text}; {self.hint}"

    def as_value(self) -> Self:
        """The same error, to be kept and not raised: without the frames that it passed, and all that they hold."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self

    def at(self, prefix: str) -> Self:
        """Put an outer name (a path, a table's line) before ``where``; returns self, for ``raise error.at(path)``.

        A name that is there already is not said twice.
        """
        if self.where is None:
            self.where = prefix
        elif not f"{self.where}: ".startswith(f"{prefix}: "):
            self.where = f"{prefix}: {self.where}"
        return self


class FormatError(Error):
    """Bytes that break their format. The only error untrusted bytes may cause in a parser."""


class LimitError(FormatError):
    """Bytes that would cost more memory, time or repetition than is allowed; the hint says how to allow more."""


class DeviceError(Error):
    """A device refused or failed an operation; ``errno`` says how (see ``core.device``)."""

    def __init__(
        self,
        what: str,
        *,
        errno: int = _errno.EIO,
        where: str | None = None,
        expected: object = None,
        found: object = None,
        spec: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, where=where, expected=expected, found=found, spec=spec, hint=hint)
        self.errno = errno

    @property
    def errno_name(self) -> str:
        """Symbolic name of the errno, for example ``EIO``."""
        return _errno.errorcode.get(self.errno, str(self.errno))


class IntegrityError(DeviceError):
    """Data that was read but is not what a hash promised. Reaches readers as EIO."""


class FileSystemError(Error):
    """An operation on a file system fails although its device works: ENOENT, EEXIST, ENOSPC, ENOKEY (password)..."""

    def __init__(self, what: str, *, errno: int, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what, where=where, hint=hint)
        self.errno = errno


class TableError(Error):
    """A device-mapper table that is wrong or cannot be opened."""


class UnsupportedError(TableError):
    """A volume that is sound as far as can be told, of a kind that is not read here."""


class ProtocolError(Error):
    """A wire protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We broke the protocol: a bug of the caller."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""


class SignatureError(Error):
    """A signature does not verify, or nothing trusted made it."""


class BootError(Error):
    """The boot path ends before the root is mounted: a verdict, not an accident."""


class MachineError(Error):
    """A virtual machine did not start, refused a command, or ended before it did what was awaited.

    Its circumstances come with it, each empty or None where unknown: `command` line, `exit_code` (negative: killed by
    that signal; None: it still ran), `diagnostics` (what its program wrote to stderr), `console` (the last lines).
    They are added as notes too, so that a traceback shows them.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
        command: Sequence[str] = (),
        exit_code: int | None = None,
        diagnostics: str = "",
        console: Sequence[str] = (),
    ) -> None:
        super().__init__(what, where=where, expected=expected, found=found, hint=hint)
        self.command = tuple(command)
        self.exit_code = exit_code
        self.diagnostics = diagnostics
        self.console = tuple(console)
        if command:
            import shlex  # not for whoever has no machines: this module is in every guest

            self.add_note(f"command: {shlex.join(command)}")
        if exit_code is not None:
            self.add_note(f"exit code: {exit_code}")
        if diagnostics:
            self.add_note(f"stderr: {diagnostics}")
        if console:
            self.add_note("\n".join(("console, last lines:", *console)))


class UpdateError(Error):
    """An update that must not be, or could not be, applied."""


def os_reason(error: OSError) -> str:
    """Why it failed: of errors of TLS without the names that OpenSSL has for them and the lines of its source."""
    import re  # not for whoever has no errors of TLS: this module is in every guest

    text = re.sub(r"^\[[^\]]*\] (.*?)(?: \(_ssl\.c:\d+\))?$", r"\1", error.strerror or str(error))
    return _TLS_REASONS.get(text, text) or type(error).__name__


_TLS_REASONS = {
    "PEM lib": "this is not PEM, or the key has a password",
    "no certificate or crl found": "there is no PEM in it",
    "key values mismatch": "the key does not belong to the certificate",
    "tlsv1 alert unknown ca": "the other end does not trust the CA of this end's certificate",
    "tlsv13 alert certificate required": "the server requires a client certificate (tls-certificates=DIR in the URI)",
}
