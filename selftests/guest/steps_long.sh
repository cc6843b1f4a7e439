#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=7200 group=long own=1
#
# steps with 10^9 readings of the counter and of mono in user space.  (Those of its
# readers in the kernel come on top.)

exec "$LAB_TESTS/steps" 2e9 20
