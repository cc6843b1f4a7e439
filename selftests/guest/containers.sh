#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# lab: timeout=90 own=1
#
# What Documentation/operator.rst says of containers, with one made by hand: a chroot
# with a /dev of its own, namespaces, a user without capabilities, a cgroup that
# allows no devices but those it is given.

. "$LAB_LIB/tap.sh"

root=/tmp/container
group=/tmp/devices
source=/sys/devices/system/clocksource/clocksource0/current_clocksource

# A shell command in the container, as nobody
inside() {
	sh -c 'echo $$ > "$1/box/cgroup.procs" && shift &&
		exec unshare -m -p -n -i -u -f chroot "$1" su -s /bin/sh nobody -c "$2"' \
		sh "$group" "$root" "$1"
}

fails() {
	! "$@"
}

# Numbers of a device node, as the devices controller wants them
numbers() {
	echo "$((0x$(stat -c %t "/dev/$1"))):$((0x$(stat -c %T "/dev/$1")))"
}

allow() {
	echo "c $(numbers "$1") r" > "$group/box/devices.allow"
}

modprobe ffclock
mkdir -p "$group"
mount -t cgroup -o devices none "$group" ||
	skip_all "this kernel has no devices controller of cgroup v1"
plan 13
mkdir "$group/box"
echo a > "$group/box/devices.deny"
echo 'c 1:3 rwm' > "$group/box/devices.allow"

mkdir -p "$root/dev" "$root/sys" "$root/tmp" "$root/etc"
cp /etc/passwd /etc/group "$root/etc"
for part in bin lab lib lib64; do
	mkdir -p "$root/$part"
	mount --bind "/$part" "$root/$part"
done
mount -t sysfs -o ro none "$root/sys"
mknod -m 666 "$root/dev/null" c 1 3
for name in ffclock ffclock_utc ffclock_tai ffclock_mono ffclock_diff; do
	number=$(numbers $name)
	mknod -m 444 "$root/dev/$name" c "${number%:*}" "${number#*:}"
done

is "runs as nobody, without capabilities" "$(inside 'id -un')" nobody
ok "a device that the cgroup does not allow does not open" \
	fails inside 'read -r x < /dev/ffclock'
inside 'ffclock read mono' > /tmp/said 2>&1
ok "the command says which" grep -q /dev/ffclock /tmp/said

# The page alone
allow ffclock
a=$(ffclock read mono | cut -d' ' -f1)
b=$(inside 'ffclock read mono' | cut -d' ' -f1)
c=$(ffclock read mono | cut -d' ' -f1)
diag "mono $a outside, $b inside, $c outside"
ok "with /dev/ffclock: the same mono inside and outside" \
	awk "BEGIN { exit !($a < $b && $b < $c) }"
inside 'ffclock status' > /tmp/said
ok "the page is read without a system call" grep -q 'without a system call' /tmp/said
(sleep 1; echo hpet > $source) &
ok "a program inside is woken by an event outside" inside 'ffclock wait 20'
inside 'ffclock status' > /tmp/said
ok "where user space cannot read the counter the kernel does" \
	grep -q 'through the kernel' /tmp/said
echo tsc > $source

# The clock ids
ok "a clock id whose device is not allowed does not open" \
	fails inside 'read -r x < /dev/ffclock_utc'
for name in ffclock_utc ffclock_tai ffclock_mono ffclock_diff; do
	allow $name
done
inside 'ffclock bench' > /tmp/said 2>&1
ok "allowed, clock_gettime() reads it" grep -q 'clock id /dev/ffclock_utc' /tmp/said

# Nothing can be changed
ok "the devices do not open for writing" fails inside ': > /dev/ffclock'
ok "nor do settings in a read-only /sys" \
	fails inside 'echo notify > /sys/kernel/ffclock/migration/policy'
mount -o remount,rw "$root/sys"
ok "nor in a writable one" \
	fails inside 'echo notify > /sys/kernel/ffclock/migration/policy'
is "the setting is as it was" "$(cat /sys/kernel/ffclock/migration/policy)" inject

# leave the guest as it was found
for part in bin lab lib lib64 sys; do
	umount "$root/$part"
done
for _ in 1 2 3 4 5; do
	rmdir "$group/box" 2> /dev/null && break
	sleep 0.2
done
umount "$group"
finish
