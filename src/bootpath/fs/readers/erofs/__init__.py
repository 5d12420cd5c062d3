"""EROFS: `index` says where compressed data lies, `erofs` reads the tree."""
