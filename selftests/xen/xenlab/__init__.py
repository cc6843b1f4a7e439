# SPDX-License-Identifier: GPL-2.0-only
"""The Xen lab: real Xen with stock Debian dom0 and domU under QEMU.

packages  Debian's Xen, unpacked into build/lab/xen
images    initramfs images of dom0 and domU
host      a Xen host: a QEMU process, its dom0, its guests
"""
