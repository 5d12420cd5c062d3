"""The NBD protocol as bytes: `options` of the handshake, `transmission` after it, and NBD URIs."""
