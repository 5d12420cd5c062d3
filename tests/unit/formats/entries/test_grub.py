"""grub.cfg: what a script says plainly is read, and what only a run decides is said to be undecided."""

from __future__ import annotations

import pytest

from bootpath.core.errors import FormatError
from bootpath.formats.entries.entry import EntryKind, compare_entries, grub_entry, grub_name
from bootpath.formats.entries.grub import GRUB_MAX_BYTES, parse_grub
from bootpath.formats.entries.grubmenu import GrubEntry, GrubSearch, SearchKind

INSTALLER = """\
if loadfont $prefix/font.pf2 ; then
  set gfxmode=800x600
  insmod gfxterm
fi
if background_image /splash.png; then
  set color_normal=light-gray/black
elif background_image /other.png; then
  true
else
  set color_normal=white/blue
fi
insmod play
play 960 440 1 0 4 440 1
menuentry --hotkey=g 'Graphical install' {
    set background_color=black
    linux    /install.amd/vmlinuz vga=788 --- quiet
    initrd   /install.amd/gtk/initrd.gz
}
submenu --hotkey=a 'Advanced options ...' {
    set gfxpayload=keep
    menuentry '... Expert install' {
        linux    /install.amd/vmlinuz priority=low --- # a comment
        initrd   /install.amd/initrd.gz /more.gz
    }
}
"""


def entries(text: str) -> tuple[GrubEntry, ...]:
    return parse_grub(text.encode()).entries


def only(body: str, before: str = "") -> GrubEntry:
    (entry,) = entries(f"{before}\nmenuentry 'a title' {{\n{body}\n}}\n")
    return entry


def test_the_menu_of_an_installer() -> None:
    menu = parse_grub(INSTALLER.encode())
    first, second = menu.entries
    assert (first.title, first.kernel, first.options) == (
        "Graphical install",
        "/install.amd/vmlinuz",
        "vga=788 --- quiet",
    )
    assert (first.initrds, first.undecided, first.menus) == (("/install.amd/gtk/initrd.gz",), "", ())
    assert (second.name, second.initrds) == (
        "Advanced options ...>... Expert install",
        ("/install.amd/initrd.gz", "/more.gz"),
    )
    assert menu.default is first
    one, other = grub_entry(menu, 0), grub_entry(menu, 1)
    assert (one.kind, one.id, one.rank, other.rank) == (EntryKind.GRUB, "Graphical install", 0, 2)
    assert compare_entries(one, other) < 0


def test_words_as_grub_reads_them() -> None:
    found = only("""linux /vmlinuz "a b" 'c"d' e\\ f g\\'h "i\\$j" k"l"m \\\n next # not this""")
    assert found.options == '"a b" c\\"d "e f" g\\\'h i$j klm next'
    assert only("linux /a;initrd /b").initrds == ("/b",)


def test_options_of_entries() -> None:
    (found,) = entries('menuentry "it\'s" --class os --id=one --unrestricted { linux /a }')
    assert (found.title, found.id, grub_name(found).id) == ("it's", "one", "one")
    (found,) = entries("menuentry a --id two { linux /a }")
    assert found.id == "two"
    (found,) = entries("menuentry 'a' --class gnu $menuentry_id_option 'three' { linux /a }")
    assert (found.title, found.undecided) == ("a", "")


def test_plain_variables_are_known() -> None:
    assert only('linux ${dir}/vmlinuz "root=$dev"', "set dir=/live\ndev=/dev/sr0").options == "root=/dev/sr0"
    assert only("set dir=/x; linux $dir/vmlinuz").kernel == "/x/vmlinuz"
    assert only("linux $b/vmlinuz", "set a=/x\nset b=$a/y").kernel == "/x/y/vmlinuz"


@pytest.mark.parametrize(
    ("body", "before", "why"),
    [
        ("linux /vmlinuz findiso=${iso_path}", "", "linux has the variable iso_path, which only a run would know"),
        ("linux $x/vmlinuz", "if a; then set x=/live; fi", "linux has the variable x"),
        ("linux $x/vmlinuz", "set x=/a\nunset x", "linux has the variable x"),
        ("linux $x/vmlinuz", "set x=/a\nfor x in 1 2; do true; done", "linux has the variable x"),
        ("linux $x/v", "set x=/a\nfunction f { set x=/b; }\nf", "linux has the variable x"),
        ("if x; then linux /a; else linux /b; fi", "", "linux stands in if"),
        ("linux /a; while x; do initrd /b; done", "", "initrd stands in while"),
        ("search --file --set=root /x $y; linux /a", "", "search decides on which device its files are"),
        ("linux /a", "search --label LIVE --set root", "search decides on which device its files are"),
        ("linux /a", "if x; then search --label LIVE --set; fi", "search decides on which device its files are"),
        (
            "linux /a",
            "search --label LIVE --set=other --set=root --new",
            "search decides on which device its files are",
        ),
        ("linux /a", "search.file /x root", "search.file decides on which device its files are"),
        ("set root=(hd0,1); linux /a", "", "the script sets root, the device of its files"),
        ("linux /a", "function f { search x; }\nfunction g { f; }\ng", "the function g decides on which device"),
        ("linux (hd0,1)/a", "", "linux names a device"),
        ("linux /a; initrd newc:x:/b", "", "initrd names a device, or a file in another way"),
        ("configfile /other.cfg", "", "configfile reads other commands"),
        ("boot_it", "function boot_it { linux /a; }", "the function boot_it loads what is booted"),
    ],
)
def test_what_only_a_run_decides(body: str, before: str, why: str) -> None:
    assert why in only(body, before).undecided


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("search --file --set=root /.disk/info", GrubSearch(SearchKind.FILE, "/.disk/info")),
        ("search --no-floppy --set=root -l 'Fedora Live'", GrubSearch(SearchKind.LABEL, "Fedora Live")),
        (
            "search --fs-uuid --set --hint=cd0 2023-11-14-22-13-20-00",
            GrubSearch(SearchKind.UUID, "2023-11-14-22-13-20-00"),
        ),
        ("set l=LIVE; search --set=root --label $l", GrubSearch(SearchKind.LABEL, "LIVE")),
    ],
)
def test_a_plain_search_is_kept(command: str, expected: GrubSearch) -> None:
    assert (only("linux /a", command).search, only("linux /a", command).undecided) == (expected, "")
    assert only(f"{command}\nlinux /a").search == expected
    assert only(f"linux /a\n{command}").search is None


def test_an_entry_that_may_not_be_there() -> None:
    first, second = entries("if x; then menuentry a { linux /a; }; fi\nmenuentry b { linux /b; }")
    assert (first.undecided, first.optional, second.undecided) == ("it stands in if", True, "")


def test_entries_of_a_function_are_none() -> None:
    assert entries("function f {\n menuentry a { linux /a; }\n}") == ()


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("", "a"),
        ("set default=0", "a"),
        ("set default=1", "c"),
        ('set default="c"', "c"),
        ("default=id-b", "b"),
        ("set default=m>b", None),
        ('set default="m>b"', "b"),
        ("set default=9", None),
        ("set default=other", None),
        ('set default="${next_entry}"', None),
        ("if x; then set default=1; fi", None),
        ("if x; then menuentry z { linux /z; }; fi", None),
    ],
)
def test_the_default(setting: str, expected: str | None) -> None:
    text = "menuentry a { linux /a; }\nsubmenu m { menuentry b --id id-b { linux /b; } }\nmenuentry c { linux /c; }\n"
    if setting == "set default=1":
        text = text.replace("submenu m { menuentry b --id id-b { linux /b; } }\n", "")
    if setting == "set default=m>b":
        with pytest.raises(FormatError, match="a character that means nothing in GRUB"):
            parse_grub(f"{setting}\n{text}".encode())
        return
    found = parse_grub(f"{setting}\n{text}".encode()).default
    assert (None if found is None else found.title) == expected


def test_entries_without_a_kernel() -> None:
    menu = parse_grub(b"menuentry w { chainloader /bootmgr.efi }\nmenuentry f { fwsetup }")
    with pytest.raises(FormatError, match="the entry has no kernel: chainloader boots something else than a Linux"):
        grub_entry(menu, 0)
    with pytest.raises(FormatError, match="the entry has no kernel"):
        grub_entry(menu, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("menuentry a", "menuentry has no block"),
        ("menuentry a { linux /a", "a block of the script has no end"),
        ("menuentry 'a { }", "a quotation has no end"),
        ("a | b", "a character that means nothing in GRUB"),
        ("function f", "function has no block"),
        ("submenu a {" * 20 + "}" * 20, "the blocks of the script are too deep in each other"),
        ("{" * 50 + "}" * 50, "the blocks of the script are too deep in each other"),
        ("x " * 60_000, "the script has too many words"),
        ("x" * (GRUB_MAX_BYTES + 1), "the menu is too long"),
        ("\udcff", "the menu is not UTF-8"),
    ],
)
def test_what_is_no_script(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=f"grub.cfg: .*{message}"):
        parse_grub(text.encode("utf-8", "surrogateescape"))


def test_a_variable_may_be_made_of_itself() -> None:
    menu = parse_grub(b'set a=x\nset a="$a y"\nmenuentry t { linux /k $a }\n')
    assert menu.entries[0].options == '"x y"'


@pytest.mark.parametrize(
    "text",
    [
        "set a=x\n" + "set a=$a$a\n" * 60,
        "set a=x\nset b=x\n" + "set a=$b$b\nset b=$a$a\n" * 30,
        "set a=" + "x" * 4000 + "\nmenuentry t { linux /k " + "$a" * 300 + " }\n",
        "set a=" + "x" * 4000 + "\nmenuentry " + "$a" * 300 + " { linux /k }\n",
        "submenu " + "t" * 100_000 + " {\n" + "menuentry e { linux /k }\n" * 20 + "}\n",
    ],
    ids=["itself", "each other", "options", "title", "menus"],
)
def test_a_script_that_grows(text: str) -> None:
    with pytest.raises(FormatError, match="becomes too long by its variables and menus; expected at most 1048576"):
        parse_grub(text.encode())
