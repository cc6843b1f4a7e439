# SPDX-License-Identifier: GPL-2.0-only
#
# What the host's test programs are built with; included by the Makefiles one
# folder below this one.

include $(dir $(lastword $(MAKEFILE_LIST)))../user.mk

# One program from the .c files among its prerequisites.
define host-link
@mkdir -p $(@D)
$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $(filter %.c,$^) $(LDFLAGS) $(LDLIBS) -lm
endef
