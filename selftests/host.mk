# SPDX-License-Identifier: GPL-2.0-only
#
# What the host's test programs are built with; included by the Makefiles one
# folder below this one.

O ?= $(abspath ../../build/user)
TOP := $(abspath ../..)

sanitize-asan := -fsanitize=address -fno-omit-frame-pointer
sanitize-ubsan := -fsanitize=undefined -fno-sanitize-recover=all
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS ?= -O2 -g
ALL_CFLAGS := -std=gnu11 -D_GNU_SOURCE $(WARNINGS) $(CFLAGS) $(sanitize-$(SAN))

# One program from the .c files among its prerequisites.
define host-link
@mkdir -p $(@D)
$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $(filter %.c,$^) $(LDFLAGS) $(LDLIBS) -lm
endef
