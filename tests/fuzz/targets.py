"""Every entry there is: the one table that the seeded tests and the guided run share."""

from __future__ import annotations

from tests.fuzz.bootfiles import BOOT_FILES, BOOT_PLACE
from tests.fuzz.definitions import DEFINITIONS
from tests.fuzz.discs import DISCS
from tests.fuzz.diskimages import DISK_IMAGES
from tests.fuzz.entry import by_name
from tests.fuzz.filesystems import FILE_SYSTEMS
from tests.fuzz.formats import FORMATS
from tests.fuzz.network import NETWORK
from tests.fuzz.tables import TABLES
from tests.fuzz.volumes import SCANNED, TEXTS

TARGETS = by_name(
    FORMATS, BOOT_FILES, (BOOT_PLACE,), DEFINITIONS, DISCS, DISK_IMAGES, TEXTS, SCANNED, TABLES, NETWORK, FILE_SYSTEMS
)
