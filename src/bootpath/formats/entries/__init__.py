"""What a boot menu is made of: boot loader entries, extlinux.conf, unified kernel images, and how entries compare."""
