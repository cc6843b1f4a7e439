# SPDX-License-Identifier: GPL-2.0-only
# lab: hosttime=1 timeout=900 programs=chronyd group=long kernels=6.12
"""ntp_live for longer and at 16 s between requests."""

import ntp_live


def run(t):
    ntp_live.run(t, warm=180, measure=300, poll=4, interval=3.0)
