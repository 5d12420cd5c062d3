"""``bootpath inspect``: `pages` has text and JSON of both kinds of inspection, `picture` the drawing."""
