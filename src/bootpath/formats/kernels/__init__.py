"""Files that hold a Linux kernel: which one it is and for which machine, and how to get at what is packed in it."""
