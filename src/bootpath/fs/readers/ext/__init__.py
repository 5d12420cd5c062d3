"""ext2, ext3 and ext4: `superblock` finds the groups, `blocks` maps a file, `ext4` reads the tree."""
