"""The NBD server's protocol without sockets: `negotiation`, then `requests` in a `session`, and its `replies`."""
