# SPDX-License-Identifier: GPL-2.0-only
"""The demo: guests with and without ffclock, migrated side by side.

say       progress on the terminal
setup     what is built before; one run at a time; Ctrl-C
ntp       the NTP server on the host's loopback
machine   a guest of the demo, its samples, its place on the host's time
hostpage  host time on a guest's VMClock page
track     samples turned into errors against the host, and instants of them
claims    what must hold
table     the table on the terminal
svg       the picture
"""
