from __future__ import annotations

from bootpath.image.entries.passedover import PassedOver


def test_words_are_said_once_for_all_files() -> None:
    passed = PassedOver()
    assert list(passed.warnings()) == []
    passed.note_keys(["grub_users", "grub_users", "id"])
    passed.note_keys(["grub_users", "\ufefftitle"])
    passed.note_keywords(["menu color", "\x1b[31m", "x" * 40])
    assert list(passed.warnings()) == [
        "keys of boot entries that are not known are passed over: grub_users (in 2 files), id",
        "keywords of menus that are not known are passed over: '\\x1b[31m', menu color, 'xxxxxxxxxxxx...xxxxxxxxxxxxx'",
    ]


def test_many_words_are_not_all_said() -> None:
    passed = PassedOver()
    passed.note_keys(f"k{number:02}" for number in range(20))
    (warning,) = passed.warnings()
    assert warning.endswith("k06, k07, and 12 others")
