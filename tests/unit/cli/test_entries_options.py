from __future__ import annotations

import argparse

import pytest

from bootpath.cli.arguments import architecture
from bootpath.cli.boot.decision import places
from bootpath.cli.main import build_parser
from bootpath.formats.partitions.dps import Architecture


def test_defaults() -> None:
    options = build_parser().parse_args(["entries", "disk.img"])
    assert (options.look_in, options.architecture) == (frozenset({"iso", "esp", "xbootldr", "root"}), None)
    assert (options.disk_name, options.assembly, options.all, options.no_efi) == (None, "bootpath", False, False)


def test_values() -> None:
    assert places("ROOT,esp,") == {"root", "esp"}
    assert architecture("aa64") is architecture("aarch64") is architecture("arm64") is Architecture.ARM64
    for text in ("", ",", "usr", "esp root"):
        with pytest.raises(argparse.ArgumentTypeError):
            places(text)
    with pytest.raises(argparse.ArgumentTypeError, match="loongarch64"):
        architecture("vax")
