#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# The hotplug script of a guest's network card: puts it on the bridge.  libxl
# waits for hotplug-status.
case $1 in
online)
	brctl addif xenbr0 "$vif"
	ip link set "$vif" up
	xenstore-write "$XENBUS_PATH/hotplug-status" connected
	;;
offline)
	ip link set "$vif" down 2>/dev/null
	;;
esac
exit 0
