"""FAT12, FAT16 and FAT32: `volume` knows the geometry and follows chains, `fat` reads the tree."""
