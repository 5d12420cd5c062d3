"""The kernel parameters for a root that a loader found over the network: a directory of an NFS server, or one of 9P.

Sources: Linux Documentation/admin-guide/nfs/nfsroot.rst, Documentation/filesystems/9p.rst; barebox appends the same for
an entry with ``linux-appendroot`` in such a root::

    root=/dev/nfs nfsroot=<server>:<directory>[,<option>…] [ip=…]
    root=<tag> rootfstype=9p rootflags=trans=<transport>[,<option>…],aname=<directory>

The kernel mounts both by itself, with no initramfs, so the server is an address and no name; how the machine gets its
own is in ``ip=``. Nothing of this is on a disk: it is for loaders that use bootpath as a library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from bootpath.formats.cmdline.devices import bad_value
from bootpath.formats.cmdline.parameters import Parameter, quote

_WORD = re.compile(r"[!#-+\--~]+")
"""What stands between commas."""
_DIRECTORY = re.compile(r"/[ !#-+\--~]*")


@dataclass(frozen=True, slots=True)
class NfsRoot:
    """A directory of an NFS server. `options` are of nfs(5); `ip` is what Linux takes: "dhcp", or addresses.

    Raises FormatError for what ``nfsroot=`` cannot say.
    """

    server: str
    directory: str
    options: tuple[str, ...] = ()
    ip: str = ""

    def __post_init__(self) -> None:
        try:
            IPv4Address(self.server)
        except AddressValueError:
            raise bad_value("the server of nfsroot", self.server, "an IPv4 address") from None
        _check_words(self.directory, self.options)
        if self.ip and _WORD.fullmatch(self.ip) is None:
            raise bad_value("ip", self.ip, "no blanks, commas and quotes")

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in their order."""
        place = ",".join((f"{self.server}:{self.directory}", *self.options))
        network = (quote("ip", self.ip),) if self.ip else ()
        return (quote("root", "/dev/nfs"), quote("nfsroot", place), *network)


@dataclass(frozen=True, slots=True)
class NinePRoot:
    """A directory that a host exports by 9P under a tag. `options` are of Linux's 9p, behind the transport.

    Raises FormatError for what ``root=`` and ``rootflags=`` cannot say.
    """

    tag: str
    directory: str = "/"
    transport: str = "virtio"
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _WORD.fullmatch(self.tag) is None or self.tag.startswith("/"):
            raise bad_value("the tag of a 9P root", self.tag, "no blanks, commas and quotes, and no path")
        _check_words(self.directory, (self.transport, *self.options))

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in their order."""
        flags = ",".join((f"trans={self.transport}", *self.options, f"aname={self.directory}"))
        return (quote("root", self.tag), quote("rootfstype", "9p"), quote("rootflags", flags))


def _check_words(directory: str, words: tuple[str, ...]) -> None:
    if _DIRECTORY.fullmatch(directory) is None:
        raise bad_value("the directory of a network root", directory, "an absolute path without commas and quotes")
    for word in words:
        if _WORD.fullmatch(word) is None:
            raise bad_value("an option of a network root", word, "no blanks, commas and quotes")
