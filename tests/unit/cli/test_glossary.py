"""A word has one meaning in all commands."""

from __future__ import annotations

import argparse
from collections import defaultdict

from bootpath.cli import lived
from bootpath.cli.glossary import OPTIONS
from bootpath.cli.main import build_parser
from tests.support.parsers import leaves

PARSERS = (*leaves(build_parser()), lived.build_parser())


def shape(action: argparse.Action) -> tuple[object, ...]:
    """What a value of the option is; how often it may be given is the command's."""
    return action.metavar, getattr(action.type, "__name__", None), action.nargs


def owners() -> dict[str, dict[str, argparse.Action]]:
    """The long options, and the commands whose help has them."""
    found: dict[str, dict[str, argparse.Action]] = defaultdict(dict)
    for parser in PARSERS:
        for action in parser._actions:
            if action.help is not argparse.SUPPRESS:
                for flag in action.option_strings:
                    found[flag][parser.prog] = action
    return found


def test_an_option_of_several_commands_is_in_the_glossary() -> None:
    several = {flag for flag, commands in owners().items() if len(commands) > 1 and flag.startswith("--")}
    assert several == set(OPTIONS) - {"--version"}


def test_values_of_an_option_have_one_shape() -> None:
    different = {
        flag: {command: shape(action) for command, action in commands.items()}
        for flag, commands in owners().items()
        if len({shape(action) for action in commands.values()}) > 1
    }
    assert different == {}


def test_an_option_has_one_short_form() -> None:
    forms: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for parser in PARSERS:
        for action in parser._actions:
            for flag in action.option_strings:
                forms[flag].add(tuple(action.option_strings))
    assert {flag: found for flag, found in forms.items() if len(found) > 1} == {}


def test_positionals_of_one_name_are_one_thing() -> None:
    found: dict[str, set[object]] = defaultdict(set)
    for parser in PARSERS:
        for action in parser._actions:
            if not action.option_strings:
                found[str(action.metavar)].add((action.help, action.nargs))
    assert {name: helps for name, helps in found.items() if len(helps) > 1} == {}


def test_no_option_takes_the_place_of_a_command() -> None:
    """Which command was named is kept beside the options; an unknown option is reported by its parser."""
    for parser in PARSERS:
        assert not {action.dest for action in parser._actions} & {"command", "action"}, parser.prog
