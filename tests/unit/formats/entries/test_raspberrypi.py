"""config.txt: which settings count on every board, and what would be loaded."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.raspberrypi import (
    MAX_PI_INCLUDES,
    PI_CONFIG_MAX_BYTES,
    PiBoot,
    PiConfig,
    PiSetting,
    pack_pi_config,
    parse_pi_config,
    pi_boots,
)
from tests.support.errors import raises

RASPBERRY_PI_OS = b"""\
# For more options and information see
# http://rptl.io/configtxt
dtparam=audio=on
camera_auto_detect=1\r
auto_initramfs=1
dtoverlay=vc4-kms-v3d
arm_64bit=1

[cm4]
otg_mode=1

[pi4]
arm_boost=1
kernel=special.img
dtoverlay=miniuart-bt

[all]
"""
NAMES = ("kernel.img", "kernel7.img", "kernel7l.img", "kernel8.img", "kernel_2712.img", "initramfs8", "initramfs_2712")


def test_settings_and_filters() -> None:
    config = parse_pi_config(RASPBERRY_PI_OS)
    assert config.value("camera_auto_detect") == "1"
    assert config.value("kernel") is None
    assert config.values("dtoverlay") == ("vc4-kms-v3d",)
    undecided = ["kernel=special.img under [pi4]", "dtoverlay=miniuart-bt under [pi4]"]
    assert [str(each) for each in config.undecided] == undecided
    assert parse_pi_config(pack_pi_config(config)) == config


def test_what_each_board_would_load() -> None:
    five, newer, *others = pi_boots(parse_pi_config(RASPBERRY_PI_OS), NAMES)
    assert others == []
    assert five == PiBoot(
        "Raspberry Pi 5 (kernel_2712.img)",
        "kernel_2712.img",
        "cmdline.txt",
        ("initramfs_2712",),
        overlays=("overlays/vc4-kms-v3d.dtbo",),
        architecture="aa64",
    )
    assert (newer.kernel, newer.initrds, newer.architecture) == ("kernel8.img", ("initramfs8",), "aa64")
    old = pi_boots(parse_pi_config(b"arm_64bit=0\nauto_initramfs=1\n"), NAMES)
    assert [(boot.kernel, boot.initrds) for boot in old] == [
        ("kernel_2712.img", ("initramfs_2712",)),
        ("kernel7l.img", ()),
        ("kernel7.img", ()),
        ("kernel.img", ()),
    ]
    assert len(pi_boots(PiConfig(), NAMES)) == 5
    assert pi_boots(PiConfig(), ()) == ()


def test_what_is_named() -> None:
    text = b"""\
kernel=old
kernel=vmlinuz
arm_64bit=1
cmdline=line.txt
initramfs first,second followkernel
device_tree=board.dtb
os_prefix=new/
overlay_prefix=o/
dtoverlay=a,param=1
dtoverlay=
dtoverlay=a
"""
    assert pi_boots(parse_pi_config(text), ()) == (
        PiBoot(
            "Raspberry Pi (vmlinuz)",
            "new/vmlinuz",
            "new/line.txt",
            ("new/first", "new/second"),
            "new/board.dtb",
            ("new/o/a.dtbo",),
            "aa64",
        ),
    )
    assert pi_boots(parse_pi_config(b"kernel=k\nramfsfile=a,b\n"), ())[0].initrds == ("a", "b")


def test_a_later_setting_for_all_decides() -> None:
    config = parse_pi_config(b"[pi3]\nkernel=a\n[all]\nkernel=b\n[pi4]\ncmdline=c\n")
    assert config.value("kernel") == "b"
    assert config.undecided == (PiSetting("cmdline", "c", "pi4"),)


def test_what_never_counts_and_odd_lines() -> None:
    odd = parse_pi_config(b"[none]\nkernel=a\n[ALL]\n=x\nword\n  kernel = b  \n")
    assert odd.settings == (PiSetting("kernel", "b"),)
    assert parse_pi_config(b"kernel=" + b"k" * 200).value("kernel") == "k" * 91
    assert parse_pi_config(b"[pi4\n# \xb0C\nkernel=\xff\n").settings[0].filter == "pi4"
    assert parse_pi_config(b"[]\na=b\n").settings[0].filter == "?"


def test_includes() -> None:
    files = {"a.txt": b"[pi4]\nx=1\ninclude b.txt\n", "b.txt": b"y=2\n"}
    config = parse_pi_config(b"include a.txt\nz=3\n", files.__getitem__)
    assert [(each.name, each.filter) for each in config.settings] == [("x", "pi4"), ("y", "pi4"), ("z", "pi4")]
    with raises(FormatError, expected="one file"):
        parse_pi_config(b"include a.txt\n")
    with raises(FormatError, expected=f"at most {MAX_PI_INCLUDES} includes in each other"):
        parse_pi_config(b"include a\n", lambda name: b"include a\n")
    with raises(FormatError, expected=f"at most {PI_CONFIG_MAX_BYTES} bytes"):
        parse_pi_config(b"include a\n" * 3, lambda name: b"#" * (PI_CONFIG_MAX_BYTES // 2))


@pytest.mark.parametrize(
    "setting", [PiSetting("a", "x\ny"), PiSetting("#a", "b"), PiSetting("a", "b" * 98), PiSetting("a", "b", "all")]
)
def test_what_cannot_be_written(setting: PiSetting) -> None:
    with pytest.raises(FormatError, match="cannot be written"):
        pack_pi_config(PiConfig((setting,)))
