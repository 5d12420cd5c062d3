"""Volume groups of LVM2: the `label` on a disk, the `text` it points to, the `group` in it, its `volumes`."""
