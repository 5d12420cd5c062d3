"""The status page of a server, and its metrics."""
