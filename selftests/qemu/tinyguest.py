# SPDX-License-Identifier: GPL-2.0-only
"""A guest of some bytes in the place of a firmware: it counts and reads the TSC."""

# Real mode, at f000:0000 from the reset vector's jump: ds = 0; loop: rdtsc;
# mov [0x500], eax; mov [0x504], edx; inc dword [0x508]; out 0xe9, al (an exit); jmp loop
CODE = bytes.fromhex("6631c0 8ed8 0f31 66a30005 6689160405 66ff060805 b078 e6e9 ebea")
RESET = bytes.fromhex("ea000000f0")
SIZE, VECTOR = 0x10000, 0xfff0


def firmware(path):
    image = bytearray(SIZE)
    image[:len(CODE)] = CODE
    image[VECTOR:VECTOR + len(RESET)] = RESET
    path.write_bytes(image)
