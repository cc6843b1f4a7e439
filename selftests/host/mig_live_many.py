# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=900 group=migration
"""mig_live with fifty migrations in a row under load, and a restore after 30 s."""

import mig_live

MIGRATIONS = 50
GAP = 30


def run(t):
    mig_live.run(t, MIGRATIONS, GAP)
