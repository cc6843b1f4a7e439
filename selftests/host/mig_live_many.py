# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=900 group=migration
"""mig_live with fifty migrations in a row under load, and a restore after 30 s."""

import importlib.util
import pathlib

MIGRATIONS = 50
GAP = 30


def run(t):
    path = pathlib.Path(__file__).with_name("mig_live.py")
    spec = importlib.util.spec_from_file_location("mig_live", path)
    live = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(live)
    live.run(t, MIGRATIONS, GAP)
