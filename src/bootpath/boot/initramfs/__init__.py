"""Building an initramfs: `recipes` say what goes in, the closures what that needs, `build` makes the archive."""
