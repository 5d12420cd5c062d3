"""Files of FAT, ext2 to ext4, erofs, squashfs and RedoxFS, read without mounting.

Not re-exported by `bootpath.fs`: what runs inside a guest imports that, and has the kernel to read files for it.
"""
