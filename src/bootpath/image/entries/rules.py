"""What a boot loader is told about its menu: loader.conf, and EFI variables.

Source: loader.conf(5), systemd-boot(7). systemd-boot reads /loader/loader.conf of the EFI partition that it was started
from; one on XBOOTLDR is read by nobody. Variables are those of a machine, so they are there only when they are given.
"""

from __future__ import annotations

from dataclasses import dataclass

from bootpath.core.errors import Error, FormatError
from bootpath.formats.systemdboot.loaderconf import LOADER_CONF_MAX_BYTES, LoaderConf, MenuTimeout, parse_loader_conf
from bootpath.formats.systemdboot.loadervariables import LoaderVariables
from bootpath.fs.readers.files import Files
from bootpath.image.entries.costs import EntryCosts
from bootpath.image.entries.files import whole_file
from bootpath.image.entries.reasons import FileReason

LOADER_CONF = "/loader/loader.conf"


@dataclass(frozen=True, slots=True)
class MenuRules:
    """Both, as far as there are any."""

    conf: LoaderConf | None = None
    variables: LoaderVariables | None = None

    @property
    def timeout(self) -> MenuTimeout | None:
        """How long the menu is shown; None when nothing says so, and systemd-boot does not show it."""
        said = [] if self.variables is None else [self.variables.timeout_one_shot, self.variables.timeout]
        said.append(None if self.conf is None else self.conf.timeout)
        return next((timeout for timeout in said if timeout is not None), None)


NO_RULES = MenuRules()


def read_loader_conf(files: Files, costs: EntryCosts) -> LoaderConf | None:
    """What the loader.conf of an EFI partition says, None where there is none. Raises Error when it cannot be read."""
    costs.file()
    piece = whole_file(files, LOADER_CONF, follow=False, costs=costs)
    if piece.fault is not None:
        if piece.fault.reason is FileReason.MISSING:
            return None
        raise FormatError(f"the file {piece.fault}", where=LOADER_CONF)
    data = files.read_file(piece.path, LOADER_CONF_MAX_BYTES)
    costs.text(len(data))
    return parse_loader_conf(data)


def loader_conf_warnings(files: Files, costs: EntryCosts, *, is_esp: bool) -> tuple[LoaderConf | None, tuple[str, ...]]:
    """The loader.conf of a boot partition as far as it counts, and what did not. Raises no Error."""
    try:
        conf = read_loader_conf(files, costs)
    except Error as error:
        return None, (f"loader.conf is passed over: {error}",) if is_esp else ()
    if conf is None:
        return None, ()
    if not is_esp:
        return None, ("loader.conf is passed over: systemd-boot reads only the one on the EFI partition",)
    return conf, tuple(f"loader.conf: passed over: {each}" for each in conf.ignored)
