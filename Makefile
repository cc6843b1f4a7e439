# SPDX-License-Identifier: GPL-2.0-only
#
# ffclock: modules (Kbuild), user space, tests.  "make help" lists the targets.
#
# This file is for people; the kernel's build reads Kbuild.

.DEFAULT_GOAL := all

TOP := $(abspath .)

# ---- user space ------------------------------------------------------------
#
# Every sub-make gets O= and puts programs into $(O)/bin, libraries into
# $(O)/lib, headers into $(O)/include, guest tests into $(O)/guest, unit tests
# into $(O)/unit, replay tests into $(O)/replay.

SAN ?=
O ?= $(TOP)/build/user$(if $(SAN),-$(SAN))
USERDIRS = $(patsubst %/Makefile,%,$(wildcard $(addsuffix /Makefile, \
	lib tools daemon daemon/xen hostd bindings selftests selftests/guest)))

.PHONY: all userland $(addprefix userland-,asan ubsan)
all: modules userland

userland:
	@mkdir -p $(O)/bin $(O)/lib $(O)/include $(O)/guest $(O)/unit
	@set -e; for d in $(USERDIRS); do $(MAKE) --no-print-directory -C $$d O=$(O) SAN=$(SAN); done

userland-asan userland-ubsan: userland-%:
	$(MAKE) --no-print-directory userland SAN=$* O=$(TOP)/build/user-$*

# ---- modules, and installing ---------------------------------------------------------------

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: modules modules-all modules_install
modules:
	@test -e $(KDIR) || { echo "no kernel headers in $(KDIR): install" \
		"linux-headers-$$(uname -r), or give KDIR=, or 'make modules-all'" >&2; exit 1; }
	$(MAKE) -C $(KDIR) M=$(TOP) modules

modules_install: modules
	$(MAKE) -C $(KDIR) M=$(TOP) modules_install

# Everything on this machine: modules, library, command, daemon, and what ties them
# to the system.
.PHONY: install install-system
install: userland modules_install install-system
	@set -e; for d in lib tools daemon daemon/xen hostd bindings; do \
		$(MAKE) --no-print-directory -C $$d O=$(O) install; done

# udev rules, hooks for migrations, options of the modules, loading at boot.
install-system:
	install -D -m 644 -t $(DESTDIR)/usr/lib/udev/rules.d packaging/60-ffclock.rules
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system packaging/ffclock-migration@.service
	install -D -m 755 -t $(DESTDIR)/usr/libexec/ffclock packaging/run-hooks
	install -D -m 755 -t $(DESTDIR)/etc/ffclock/migration.d packaging/migration.d/*
	install -D -m 644 packaging/modprobe-ffclock.conf \
		$(DESTDIR)/etc/modprobe.d/ffclock.conf
	install -D -m 644 packaging/modules-load-ffclock.conf \
		$(DESTDIR)/usr/lib/modules-load.d/ffclock.conf

# For all kernels of the lab, in their chroots, W=1 and sparse, no warnings.
modules-all: lab
	scripts/build-modules

# ---- lab and tests ---------------------------------------------------------

.PHONY: deps lab check check-unit check-replay check-guest check-build check-lab check-migration check-long
deps:
	scripts/install-deps

lab: deps
	scripts/lab-setup

check:
	selftests/run

check-build:
	selftests/run build

check-lab:
	selftests/run lab

check-unit:
	selftests/run unit

check-replay:
	selftests/run replay

check-guest:
	selftests/run guest

# Two KVM hosts inside of QEMU, and guests that migrate between them: a quarter of an hour.
.PHONY: check-kvm
check-kvm: lab userland
	scripts/build-modules 6.1 6.12 7.2
	selftests/kvm/refresh
	selftests/kvm/agree
	selftests/kvm/hostd
	selftests/kvm/hostd --stock --migrations 1
	selftests/kvm/sources --guest-kernel 6.1
	selftests/kvm/sources --guest-kernel 6.12
	selftests/kvm/sources --guest-kernel 7.2

# Two libvirtds of Debian 13, a guest that is saved, restored and migrated; libvirt's AppArmor
# with a KVM guest: 5 minutes, and 350 MB that stay in build/libvirt.
.PHONY: check-libvirt
check-libvirt: lab userland
	scripts/build-modules 6.12
	selftests/libvirt/run
	selftests/libvirt/apparmor

# Not part of check: real Xen under emulation takes a quarter of an hour.
.PHONY: check-xen
check-xen: lab userland
	scripts/build-modules 6.12
	selftests/xen/run

# Kernels with debugging options, built from Debian's source: 15 minutes each the
# first time on two idle processors, 4 GB; then the tests, slowly, and half an hour
# of fuzzing.  DEBUG_FLAGS="--fuzz 60 kasan" and the like: selftests/debug/run --help.
.PHONY: check-debug
check-debug: lab userland
	selftests/debug/run $(DEBUG_FLAGS)

check-guest-%:
	selftests/run guest --kernel $*

check-long:
	selftests/run guest --group long

check-migration:
	selftests/run guest --group migration

# ---- demo ------------------------------------------------------------------

# KERNEL=7.2 and the like; demo/run --help has more.  Python is among the deps.
.PHONY: demo compare
demo: deps
	demo/run $(if $(KERNEL),--kernel $(KERNEL)) $(DEMO_FLAGS)

compare: deps
	demo/compare $(if $(KERNEL),--kernel $(KERNEL)) $(COMPARE_FLAGS)

# ---- packages --------------------------------------------------------------

# Debian packages of what git knows, into build/deb.
.PHONY: deb check-packages
deb:
	scripts/build-deb

# Their life in a clean Debian, and a boot; 5 minutes, 2.5 GB for a while.
check-packages: lab
	selftests/packages/run

# ---- style -----------------------------------------------------------------

.PHONY: style
style:
	scripts/style

# ---- the rest --------------------------------------------------------------

.PHONY: clean distclean help
clean:
	rm -rf build/user build/user-asan build/user-ubsan build/k build/lab/logs
	find . -path ./build -prune -o \( -name '*.ko' -o -name '*.o' -o -name '*.mod' \
		-o -name '*.mod.c' -o -name '.*.cmd' -o -name Module.symvers \
		-o -name modules.order \) -type f -exec rm -f {} +

# The lab as well: making it anew downloads about 600 MB.
distclean: clean
	if [ "$$(id -u)" = 0 ]; then rm -rf --one-file-system build; \
		else sudo rm -rf --one-file-system build; fi

help:
	@echo 'Build:'
	@echo '  all             modules for KDIR (default: the running kernel), and user space'
	@echo '  modules         the modules, for KDIR'
	@echo '  modules-all     the modules, for all kernels of the lab (W=1, sparse)'
	@echo '  userland        library, daemon, tools, tests, into build/user'
	@echo '  userland-asan, userland-ubsan   the same under a sanitizer'
	@echo '  deb             Debian packages, into build/deb'
	@echo 'Test:'
	@echo '  check           all check-* below, one report (needs root or sudo the first time)'
	@echo '  check-build     all modules for all kernels'
	@echo '  check-unit      unit tests, plain and under the sanitizers'
	@echo '  check-lab       does the harness notice faults?'
	@echo '  check-replay    replays of recorded stamps'
	@echo '  check-guest     guest tests on all kernels; check-guest-6.12: on one'
	@echo '  check-long      10^9 readings, 200 module cycles, 8 min beside chronyd; not in check'
	@echo '  check-migration the long tests of migration, on all kernels; not in check'
	@echo '  check-debug     KASAN, lockdep, KCSAN...: kernels built for that, and a long fuzz'
	@echo '  check-kvm       nested KVM: two hosts, a guest that migrates; not part of check'
	@echo '  check-libvirt   two libvirtds of Debian 13, a guest saved, restored, migrated'
	@echo '  check-xen       Xen 4.17 under QEMU: dependent clocks, save, restore, migration'
	@echo '  style           checkpatch on the kernel parts'
	@echo '  check-packages  Debian packages: install, upgrade, purge, boot (slow)'
	@echo 'Show:'
	@echo '  demo            a guest synchronises, migrates, and every clock is watched'
	@echo '  compare         migration and restore beside chrony and the guest agent'
	@echo 'Lab:'
	@echo '  deps            install the Debian packages that this needs'
	@echo '  lab             make build/lab: stock kernels, chroots, QEMU'
	@echo '  clean           remove what was built; distclean: the lab too'
