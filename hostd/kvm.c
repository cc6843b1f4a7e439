// SPDX-License-Identifier: GPL-2.0-only
/* KVM's debugfs: see kvm.h. */
#include <ctype.h>
#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "kvm.h"

/* statfs() of debugfs: DEBUGFS_MAGIC of linux/magic.h */
#define DEBUGFS_MAGIC	0x64626720

/* arch/x86/kvm: VMX TSC_MULTIPLIER has 48 bits behind the point, SVM's MSR 32 */
#define FRAC_BITS_INTEL	48
#define FRAC_BITS_AMD	32

/* a number, a sign, a newline */
#define NUMBER_MAX	32

#define FIRST_OFFSET	"vcpu0/tsc-offset"
#define FIRST_THREAD	"vcpu0/pid"

/* KVM_MAX_VCPUS of x86 */
#define VCPUS_MAX	4096

int kvm_number(const char *text, size_t len, uint64_t *value)
{
	char buf[NUMBER_MAX], *end;

	if (!len || len >= sizeof(buf))
		return -EINVAL;
	memcpy(buf, text, len);
	buf[len] = '\0';
	if (buf[len - 1] == '\n')
		buf[len - 1] = '\0';
	errno = 0;
	if (buf[0] == '-' && isdigit((unsigned char)buf[1]))
		*value = (uint64_t)strtoll(buf, &end, 10);
	else if (isdigit((unsigned char)buf[0]))
		*value = strtoull(buf, &end, 10);
	else
		return -EINVAL;
	return errno || *end ? -EINVAL : 0;
}

/* These files cannot be read twice: debugfs makes them without a position */
static int number_at(int dirfd, const char *name, uint64_t *value)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	char buf[NUMBER_MAX];
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, sizeof(buf));
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? (int)n : kvm_number(buf, (size_t)n, value);
}

int kvm_reachable(const char *debugfs, char *why, size_t why_len)
{
	char dir[512];
	struct statfs st;
	int fd, err;

	snprintf(dir, sizeof(dir), "%s/kvm", debugfs);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		return 0;
	}
	err = -errno;
	if (err != -ENOENT) {
		snprintf(why, why_len, "%s: %s: run as root or with CAP_DAC_READ_SEARCH", dir,
			 strerror(-err));
		return err;
	}
	if (statfs(debugfs, &st)) {
		snprintf(why, why_len, "%s: %s: this kernel has no debugfs, or was started with "
			 "debugfs=off; KVM's TSC offsets are nowhere else", debugfs,
			 strerror(errno));
		return -ENODEV;
	}
	if ((unsigned long)st.f_type != DEBUGFS_MAGIC) {
		snprintf(why, why_len, "debugfs is not mounted on %s: systemctl start "
			 "sys-kernel-debug.mount, or mount -t debugfs debugfs %s", debugfs, debugfs);
		return -ENODEV;
	}
	snprintf(why, why_len, "%s is not there yet: it comes with the module kvm", dir);
	return -ENOENT;
}

int kvm_open(const char *dir, pid_t pid, struct kvm_vm *vm, char *why, size_t why_len)
{
	char prefix[16], name[256] = "";
	uint64_t offset;
	struct dirent *d;
	int n = 0, err;
	DIR *kvm;

	vm->dirfd = -1;
	kvm = opendir(dir);
	if (!kvm) {
		err = -errno;
		if (err == -ENOENT)
			snprintf(why, why_len, "%s is not there", dir);
		else
			snprintf(why, why_len, "%s: %s: run as root or with CAP_DAC_READ_SEARCH",
				 dir, strerror(-err));
		return err == -ENOENT ? -ENODEV : err;
	}
	snprintf(prefix, sizeof(prefix), "%d-", (int)pid);
	while ((d = readdir(kvm))) {
		if (strncmp(d->d_name, prefix, strlen(prefix)))
			continue;
		n++;
		snprintf(name, sizeof(name), "%s", d->d_name);
	}
	err = -ENOENT;
	if (n != 1) {
		if (n) {
			err = -ENOTUNIQ;
			snprintf(why, why_len, "%s has %d machines of process %d", dir, n,
				 (int)pid);
		} else {
			snprintf(why, why_len, "%s has none of process %d: not a KVM guest, or its "
				 "number is another one in this pid namespace", dir, (int)pid);
		}
		goto close_dir;
	}
	vm->dirfd = openat(dirfd(kvm), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	err = vm->dirfd < 0 ? -errno : kvm_offset(vm, &offset);
	if (err) {
		snprintf(why, why_len, "%s/%s/%s: %s", dir, name, FIRST_OFFSET, strerror(-err));
		kvm_close(vm);
	}
close_dir:
	closedir(kvm);
	return err;
}

void kvm_close(struct kvm_vm *vm)
{
	if (vm->dirfd >= 0)
		close(vm->dirfd);
	vm->dirfd = -1;
}

int kvm_offset(const struct kvm_vm *vm, uint64_t *offset)
{
	return number_at(vm->dirfd, FIRST_OFFSET, offset);
}

static uint32_t vendor_frac_bits(void)
{
	unsigned int a, b, c, d;

	/* "GenuineIntel": VMX; all others that run KVM have SVM */
	if (__get_cpuid(0, &a, &b, &c, &d) && b == 0x756e6547)
		return FRAC_BITS_INTEL;
	return FRAC_BITS_AMD;
}

static int vcpu_map(int dirfd, const char *name, struct tsc_map *map)
{
	int vcpu = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t bits;
	int ret;

	if (vcpu < 0)
		return -errno;
	memset(map, 0, sizeof(*map));
	ret = number_at(vcpu, "tsc-offset", &map->offset);
	if (ret)
		goto out;
	ret = number_at(vcpu, "tsc-scaling-ratio", &map->ratio);
	if (ret == -ENOENT) {
		map->ratio = 0;
		ret = 0;
		goto out;
	}
	if (ret)
		goto out;
	ret = number_at(vcpu, "tsc-scaling-ratio-frac-bits", &bits);
	if (ret == -ENOENT) {
		bits = vendor_frac_bits();
		ret = 0;
	}
	map->frac_bits = bits > 64 ? 64 : (uint32_t)bits;
	if (!ret && (!map->ratio || !tsc_map_valid(map)))
		ret = -EINVAL;
	/* a ratio of one is no scaling: nothing to be rounded then */
	if (!ret && map->ratio == 1ULL << map->frac_bits) {
		map->ratio = 0;
		map->frac_bits = 0;
	}
out:
	close(vcpu);
	return ret;
}

int kvm_map(const struct kvm_vm *vm, struct tsc_map *map, unsigned int *vcpus)
{
	struct tsc_map first = { 0 }, other;
	int fd, ret = 0;
	struct dirent *d;
	DIR *dir;

	*vcpus = 0;
	/* a descriptor of its own: the position in a directory is shared by dup() */
	fd = openat(vm->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return ret;
	}
	while (!ret && *vcpus < VCPUS_MAX && (d = readdir(dir))) {
		if (strncmp(d->d_name, "vcpu", 4) || !isdigit((unsigned char)d->d_name[4]))
			continue;
		ret = vcpu_map(vm->dirfd, d->d_name, *vcpus ? &other : &first);
		if (!ret && *vcpus && !tsc_map_equal(&first, &other))
			ret = -EAGAIN;
		(*vcpus)++;
	}
	closedir(dir);
	if (!ret && !*vcpus)
		ret = -ENOENT;
	if (!ret)
		*map = first;
	return ret;
}

bool kvm_ran(const struct kvm_vm *vm)
{
	uint64_t thread, exits;

	/*
	 * The number of the thread that runs the first processor: 0 until it does.
	 * Linux before 5.19 has no such file.  "exits" may be written to, so a kernel
	 * that is locked down (Secure Boot) does not let it be read either.
	 */
	if (!number_at(vm->dirfd, FIRST_THREAD, &thread))
		return thread;
	return number_at(vm->dirfd, "exits", &exits) || exits;
}
