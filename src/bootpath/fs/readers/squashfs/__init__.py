"""squashfs: `metadata` reads its compressed tables, `squashfs` the tree."""
