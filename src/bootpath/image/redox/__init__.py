"""Images with a RedoxFS: their `layout`, where one is found on a disk, and the builder of live images."""
