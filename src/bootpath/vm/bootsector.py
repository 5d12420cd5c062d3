"""A boot sector that writes a word to the first serial port, ends the machine, and halts if that fails.

The smallest guest there is: it tells whether an accelerator executes anything, and tests need no operating system.
Source: the BIOS loads it to 0x7c00 and jumps there in real mode; 16550 UART (line status at +5, bit 5: the transmitter
is empty); QEMU's isa-debug-exit, which ends QEMU with code 2v + 1 when v is written to its port.
"""

from __future__ import annotations

import struct

SECTOR_BYTES = 512
MIN_DISK_BYTES = 1 << 20  # SeaBIOS reads by cylinder, and does not boot a disk that is smaller than one
DEBUG_EXIT_PORT = 0x501
_SIGNATURE = b"\x55\xaa"

_CODE = struct.Struct("<31s B H B B 5s")
_SAY = bytes.fromhex(
    "31c0"  # 7c00        xor  ax, ax
    "8ed8"  # 7c02        mov  ds, ax
    "fc"  # 7c04          cld
    "be297c"  # 7c05      mov  si, word
    "ac"  # 7c08    next: lodsb
    "84c0"  # 7c09        test al, al
    "7412"  # 7c0b        jz   done
    "88c3"  # 7c0d        mov  bl, al
    "bafd03"  # 7c0f      mov  dx, 0x3fd
    "ec"  # 7c12    wait: in   al, dx
    "a820"  # 7c13        test al, 0x20
    "74fb"  # 7c15        jz   wait
    "baf803"  # 7c17      mov  dx, 0x3f8
    "88d8"  # 7c1a        mov  al, bl
    "ee"  # 7c1c          out  dx, al
    "ebe9"  # 7c1d        jmp  next
)
_MOV_DX = 0xBA  # 7c1f    done: mov  dx, port
_MOV_AL = 0xB0  # 7c22          mov  al, value
_STOP = bytes.fromhex(
    "ee"  # 7c24          out  dx, al
    "fa"  # 7c25          cli
    "f4"  # 7c26    halt: hlt
    "ebfd"  # 7c27        jmp  halt
)  # 7c29           word: its bytes, and a NUL
MAX_WORD_BYTES = SECTOR_BYTES - len(_SIGNATURE) - _CODE.size - 1


def serial_boot_sector(word: bytes, *, exit_value: int = 0, exit_port: int = DEBUG_EXIT_PORT) -> bytes:
    """The 512 bytes: writes `word` to the serial port, then `exit_value` to `exit_port`. Raises ValueError."""
    if b"\0" in word or len(word) > MAX_WORD_BYTES:
        raise ValueError(f"a word must have at most {MAX_WORD_BYTES} bytes and no NUL")
    code = _CODE.pack(_SAY, _MOV_DX, exit_port, _MOV_AL, exit_value, _STOP)
    return (code + word).ljust(SECTOR_BYTES - len(_SIGNATURE), b"\0") + _SIGNATURE
