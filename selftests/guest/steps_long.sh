#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=7200 group=long own=1
#
# steps with 10^9 readings of the counter and mono in user space.  (Those of its
# readers in the kernel, which take part in the first 20 s, come on top.)

exec "$LAB_TESTS/steps" 1e9 20
