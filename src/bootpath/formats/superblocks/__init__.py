"""Who uses a device, by superblock: file systems, swap, encryption, volume managers; all that match, none preferred."""
