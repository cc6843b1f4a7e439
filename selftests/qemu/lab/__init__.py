# SPDX-License-Identifier: GPL-2.0-only
"""The lab: stock Debian kernels under QEMU, as a test harness.

tree    where things are; which kernels the lab knows
debian  the packages the lab is made of, and how it is made
image   initramfs images
vm      a QEMU process, its serial channels, QMP, migration
hosttime  a guest's clocks against the host's
local   the host's own programs and ports
tap     TAP streams, kernel log scan, the report
runner  tests to guests to results
selftest  does the lab notice faults?
"""
