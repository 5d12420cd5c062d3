"""What is on a disk: `read` makes a tree of `nodes` from partitions, volumes and what superblocks say."""
