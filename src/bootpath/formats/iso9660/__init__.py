"""ISO 9660, the file system of optical media: its `descriptors`, its directory `records`, what Rock Ridge adds
(`rockridge`), and the catalog by which firmware boots it (`eltorito`)."""
