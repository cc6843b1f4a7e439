# SPDX-License-Identifier: GPL-2.0-only
#
# What everything in user space is built with; each Makefile there includes this
# first, then adds its own to CPPFLAGS, ALL_CFLAGS and LDLIBS.  Products go to $(O).
# SAN=asan or SAN=ubsan builds with that sanitizer: give another O then, as the
# top-level Makefile does.
#
# CFLAGS, CPPFLAGS and LDFLAGS are the user's, or the packager's.

TOP := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
O ?= $(TOP)/build/user
PREFIX ?= /usr
SYSCONFDIR ?= /etc
VERSION ?= $(shell cat $(TOP)/VERSION 2>/dev/null)

sanitize-asan := -fsanitize=address -fno-omit-frame-pointer
sanitize-ubsan := -fsanitize=undefined -fno-sanitize-recover=all
sanitize := $(sanitize-$(SAN))
warnings := -Wall -Wextra -Wshadow -Werror
language := -std=gnu11 -D_GNU_SOURCE $(warnings) -Wstrict-prototypes -Wmissing-prototypes
CFLAGS ?= -O2 -g
ALL_CFLAGS = $(language) $(daemon-flags) $(CFLAGS) $(sanitize)

# The user ABI, and the arithmetic that the kernel has as well
includes := -I$(TOP)/include/uapi -I$(TOP)/include

# Daemons set daemon-flags to this, LDFLAGS to that, and link with -pie.
hardened := -fPIE $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
hardened-ldflags := -Wl,-z,relro,-z,now
version := $(if $(VERSION),-DFFCLOCK_VERSION='"$(VERSION)"')

# An object of its .c file; its dependencies beside it, as .d
define compile
@mkdir -p $(@D)
$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
endef

# A daemon of its objects
define link-daemon
@mkdir -p $(@D)
$(CC) $(ALL_CFLAGS) -pie $(LDFLAGS) -o $@ $^ $(LDLIBS)
endef
