"""What a boot loader is told of its menu (`image.entries.rules`), as text and as JSON."""

from __future__ import annotations

from typing import Any

from bootpath.formats.systemdboot.loaderconf import MenuMode
from bootpath.image.entries.rules import MenuRules

_TIMEOUTS = {
    MenuMode.HIDDEN: "not shown, unless a key is held down",
    MenuMode.DISABLED: "never shown",
    MenuMode.FORCE: "shown until an entry is chosen",
}


def describe_rules(rules: MenuRules) -> str:
    """How the menu is shown, as far as somebody says so."""
    timeout, said = rules.timeout, []
    if timeout is not None:
        mode = timeout if isinstance(timeout, MenuMode) else None if timeout else MenuMode.HIDDEN
        said.append(f"shown for {timeout} s" if mode is None else _TIMEOUTS[mode])
    if rules.conf is not None and not rules.conf.editor:
        said.append("options cannot be edited")
    return "; ".join(said)


def rules_json(rules: MenuRules) -> dict[str, Any]:
    """`menu` in docs/schemas/entries.json."""
    conf, variables, timeout = rules.conf, rules.variables, rules.timeout
    return {
        "timeout": timeout.value if isinstance(timeout, MenuMode) else timeout,
        "loader_conf": None
        if conf is None
        else {
            "default": conf.default or None,
            "preferred": conf.preferred or None,
            "editor": conf.editor,
            "others": dict(conf.others),
        },
        "efi_variables": None
        if variables is None
        else {
            "LoaderEntryOneShot": variables.one_shot or None,
            "LoaderEntryPreferred": variables.preferred or None,
            "LoaderEntryDefault": variables.default or None,
            "LoaderEntryLastBooted": variables.last_booted or None,
            "LoaderEntrySysFail": variables.after_failure or None,
        },
    }
