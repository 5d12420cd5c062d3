"""Reasons as values: members with a text, explanations with details."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import pytest

import bootpath
from bootpath.core.reasons import Explanation, Reason


class Colour(Reason):
    """Reasons of this test."""

    TOO_DARK = "{} is too dark"
    OTHER = "{}"
    ANOTHER = "{}"


def test_a_member_called_with_details_is_an_explanation() -> None:
    explanation = Colour.TOO_DARK("navy")
    assert explanation == Explanation(Colour.TOO_DARK, ("navy",))
    assert explanation.reason is Colour.TOO_DARK
    assert (explanation.code, str(explanation)) == ("too-dark", "navy is too dark")


def test_equal_texts_do_not_make_an_alias() -> None:
    assert Colour.OTHER("x") != Colour.ANOTHER("x")


def test_details_are_counted() -> None:
    with pytest.raises(TypeError):
        Colour.TOO_DARK()
    with pytest.raises(TypeError):
        Colour.TOO_DARK("navy", "ink")


def test_braces_in_details_are_kept() -> None:
    assert str(Colour.TOO_DARK("{}{0}")) == "{}{0} is too dark"


def test_walking_finds_nested_explanations() -> None:
    inner = Colour.TOO_DARK("navy")
    assert list(Colour.OTHER(inner).walk()) == [Colour.OTHER(inner), inner]


def test_texts_of_all_reasons_have_plain_places() -> None:
    for module in walk_packages(bootpath.__path__, "bootpath."):
        if module.name.rpartition(".")[2] not in ("__main__", "_native"):
            import_module(module.name)
    kinds = [kind for kind in Reason.__subclasses__() if kind is not Colour]
    assert len(kinds) > 5
    for kind in kinds:
        for reason in kind:
            reason.text.replace("{}", "").format()  # no other place than {}
