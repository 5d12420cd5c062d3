"""Pictures, text and JSON of results; reads results only."""
