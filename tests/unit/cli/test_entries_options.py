from __future__ import annotations

import argparse

import pytest

from bootpath.cli.entries import architecture, places
from bootpath.cli.main import build_parser
from bootpath.formats.entries.uki import EfiArchitecture


def test_defaults() -> None:
    options = build_parser().parse_args(["entries", "disk.img"])
    assert (options.policy, options.architecture) == (frozenset({"esp", "xbootldr"}), None)
    assert (options.fixed, options.assembly, options.all, options.no_efi) == (None, "initramfs", False, False)


def test_values() -> None:
    assert places("ROOT,esp,") == {"root", "esp"}
    assert architecture("arm64") is EfiArchitecture.AA64
    for text in ("", ",", "usr", "esp root"):
        with pytest.raises(argparse.ArgumentTypeError):
            places(text)
    with pytest.raises(argparse.ArgumentTypeError, match="loongarch64"):
        architecture("vax")
