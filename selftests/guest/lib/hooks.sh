#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# What udev and systemd do with 60-ffclock.rules and ffclock-migration@.service, in
# a guest that has neither: "uevent sh $LAB_LIB/hooks.sh".

[ "$SUBSYSTEM/$DEVNAME/$ACTION" = misc/ffclock/change ] || exit 0
case $FFCLOCK_EVENT in
migration | settled) exec /usr/libexec/ffclock/run-hooks "$FFCLOCK_EVENT-$FFCLOCK_SEQUENCE" ;;
notice) exec /usr/libexec/ffclock/run-hooks "notice-$SEQNUM" ;;
esac
