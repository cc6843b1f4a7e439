#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=3600 group=long own=1
#
# modcycle with 200 cycles.

exec "$LAB_TESTS/modcycle" 200
