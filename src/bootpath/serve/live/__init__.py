"""A live disk that is served: its life as a `service`, and what its map and counters say of it."""
