"""Building discoverable disk images: `definitions` → `draft` → `layout` → `build`, with `protect` for verity."""
