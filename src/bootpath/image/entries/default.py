"""Which entry of a menu is booted when nobody chooses one, and why.

Source: systemd-boot(7), loader.conf(5), and what systemd-boot does. The first of these that names an entry decides; an
entry is named by its `loader_id`, or by a pattern, of which the first entry in the menu's order counts::

    LoaderEntryOneShot       the variable, for the next boot only
    LoaderEntryPreferred     the variable     } no entry whose tries are used up
    preferred                in loader.conf   }
    LoaderEntryDefault       the variable
    default                  in loader.conf
    the first entry          but no further profile of a UKI

LoaderEntrySysFail stands before them all, and counts only after an update of the firmware has failed, which no file
says. What roots have, and extlinux.conf, systemd-boot does not know: its rules never name them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bootpath.core.errors import FormatError
from bootpath.core.reasons import Explanation, Reason
from bootpath.formats.entries.tries import ENTRY_SUFFIXES, parse_entry_name
from bootpath.formats.systemdboot.loaderconf import SAVED
from bootpath.formats.systemdboot.pattern import fold_id, pattern_matcher
from bootpath.image.entries.menu import BootMenu, Excluded, FoundEntry, VolumeRole
from bootpath.image.entries.rules import MenuRules

_AUTOMATIC = "auto-"


class DefaultReason(Reason):
    """Why an entry is the one that is booted."""

    FIRST = "it is the first of the menu"
    ONE_SHOT = "the EFI variable LoaderEntryOneShot is {}"
    PREFERRED_VARIABLE = "the EFI variable LoaderEntryPreferred is {}"
    PREFERRED = "loader.conf says preferred {}"
    DEFAULT_VARIABLE = "the EFI variable LoaderEntryDefault is {}"
    DEFAULT = "loader.conf says default {}"
    NAMED = "it was asked for"
    SAVED = "{}, and LoaderEntryLastBooted is {}"


@dataclass(frozen=True, slots=True)
class DefaultEntry:
    """The entry that is booted, and why. `warnings` are the rules before it that named none."""

    found: FoundEntry
    why: Explanation[DefaultReason]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    why: Explanation[DefaultReason]
    pattern: str
    skips_bad: bool = False


def default_entry(menu: BootMenu) -> DefaultEntry | None:
    """The entry of a menu that is booted; None when it has none."""
    if not menu.entries:
        return None
    warnings: list[str] = []
    for rule in _rules(menu.rules, warnings):
        fits = pattern_matcher(rule.pattern)
        named = [each for each in menu.entries if _has_loader_id(each) and fits(each.entry.loader_id)]
        chosen = next((each for each in named if not (rule.skips_bad and each.entry.bad)), None)
        if chosen is not None:
            if chosen.entry.bad:
                warnings.append(f"{rule.why}: its tries are used up, and it is booted all the same")
            return DefaultEntry(chosen, rule.why, tuple(warnings))
        warnings.append(f"{rule.why}: {_why_none(menu, rule, tried=bool(named))}")
    # "For now, never select any non-default profile"
    first = next((each for each in menu.entries if not each.entry.profile), menu.entries[0])
    return DefaultEntry(first, DefaultReason.FIRST(), tuple(warnings))


def _rules(rules: MenuRules, warnings: list[str]) -> Iterator[_Rule]:
    conf, variables = rules.conf, rules.variables
    candidates = []
    if variables is not None:
        candidates += [
            (DefaultReason.ONE_SHOT, variables.one_shot, False),
            (DefaultReason.PREFERRED_VARIABLE, variables.preferred, True),
        ]
    if conf is not None:
        candidates.append((DefaultReason.PREFERRED, conf.preferred, True))
    if variables is not None:
        candidates.append((DefaultReason.DEFAULT_VARIABLE, variables.default, False))
    if conf is not None:
        candidates.append((DefaultReason.DEFAULT, conf.default, False))
    for reason, pattern, skips_bad in candidates:
        if fold_id(pattern) != SAVED or reason is DefaultReason.ONE_SHOT:
            if pattern:
                yield _Rule(reason(pattern), pattern, skips_bad)
        elif variables is None:
            warnings.append(f"{reason(pattern)}: what was booted last is in an EFI variable, and none were given")
        elif variables.last_booted:
            last = variables.last_booted
            yield _Rule(DefaultReason.SAVED(reason(pattern), last), last, skips_bad)


def _has_loader_id(each: FoundEntry | Excluded) -> bool:
    """True for what systemd-boot sees."""
    return each.source.role is not VolumeRole.ROOT and each.entry is not None and bool(each.entry.loader_id)


def _why_none(menu: BootMenu, rule: _Rule, *, tried: bool) -> str:
    """Why a rule names no entry of the menu."""
    if tried:
        return "the entries of that name have used up their tries"
    fits = pattern_matcher(rule.pattern)
    for each in menu.excluded:
        if fits(_excluded_id(each)):
            return f"{each.source.path} is excluded: {each.why}"
    if fold_id(rule.pattern).startswith(_AUTOMATIC):
        return "it is an entry that systemd-boot makes by itself, and such entries are not listed here"
    hint = ""
    close = [each.entry.loader_id for each in menu.entries if _is_close(rule.pattern, each)]
    if close:
        hint = f"; the name of an entry is that of its file without counters: {close[0]}"
    return f"no entry has that name{hint}"


def _is_close(pattern: str, each: FoundEntry) -> bool:
    """True when the pattern is an entry's name without its suffix, or that of its file with the counters."""
    if not _has_loader_id(each):
        return False
    words = (each.entry.id, each.source.path.rpartition("/")[2])
    return fold_id(pattern) in map(fold_id, words)


def _excluded_id(excluded: Excluded) -> str:
    """What systemd-boot would call an entry that is excluded, "" when nothing tells."""
    if excluded.source.role is VolumeRole.ROOT:
        return ""
    if excluded.entry is not None:
        return excluded.entry.loader_id
    name = excluded.source.path.rpartition("/")[2]
    if not name.lower().endswith(ENTRY_SUFFIXES):
        return ""
    try:
        parts = parse_entry_name(name)
    except FormatError:
        return ""
    return fold_id(f"{parts.id}{parts.suffix}")
