"""Who signed: PKCS #7 over root hashes, and Authenticode of PE files."""
