"""UBIFS: its `nodes`, the `scan` of an eraseblock, `master`, `index`, `journal` and `replay`; `ubifs` is the tree."""
