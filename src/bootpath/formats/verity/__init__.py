"""dm-verity on disk: the hash `tree` and its superblock, error correction (FEC), and signed root hashes."""
