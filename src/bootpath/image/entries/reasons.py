"""Why an entry, or a volume that may have entries, is excluded: reasons as values (`core.reasons`)."""

from __future__ import annotations

from bootpath.core.reasons import Reason


class FileReason(Reason):
    """What is wrong with a file that an entry names. The text goes on after the name of the file."""

    MISSING = "is missing"
    NOT_A_FILE = "is a {}, not a file"
    UNREADABLE = "cannot be read: {}"


class EntryReason(Reason):
    """Why an entry is not in the menu."""

    NOT_ASKED_FOR = "entries in {} were not asked for"
    NEEDS_EFI = "it needs EFI"
    OTHER_ARCHITECTURE = "it is for {}"
    DUPLICATE = "duplicate: {} was found before"
    DUPLICATE_LABEL = "the label {} comes twice; the first one counts"
    NOT_TYPE_1 = "it says {}, so {} is not of type 1"
    NOT_A_FILE = "it is a {}, not a file"
    UNREADABLE = "{}"
    FILE_UNUSABLE = "the {} {} {}"
    NO_KERNEL = "it names no kernel, and there is none of {}"
    UNDECIDED = "what it boots is decided when GRUB runs the script: {}"
    KERNEL_EMPTY = "the kernel {} is empty"


class VolumeReason(Reason):
    """Why nothing is looked for in a volume that may have entries."""

    SECOND_OF_ITS_ROLE = "partition {} is the {}, and there can be only one"
    UNREADABLE = "{}"
    NOT_READ = "files of {} are not read here"
