/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory that a guest shares by QEMU's ivshmem-plain devices. */
#ifndef _GUEST_IVSHMEM_H
#define _GUEST_IVSHMEM_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static inline bool ivshmem_id_is(const char *dir, const char *file, unsigned int wanted)
{
	unsigned int value = 0;
	char path[512];
	bool match;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "r");
	if (!f)
		return false;
	match = fscanf(f, "%x", &value) == 1 && value == wanted;
	fclose(f);
	return match;
}

/**
 * ivshmem_map() - map the beginning of a device's shared memory (its BAR 2)
 * @number: of the device, in the order of PCI addresses, from 0
 * @size: bytes
 *
 * Return: the mapping, or NULL
 */
static inline void *ivshmem_map(unsigned int number, size_t size)
{
	void *page = MAP_FAILED;
	char path[512];
	glob_t found;
	int fd;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, &found))
		return NULL;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *dir = found.gl_pathv[i];

		/* QEMU docs/specs/pci-ids: ivshmem */
		if (!ivshmem_id_is(dir, "vendor", 0x1af4) || !ivshmem_id_is(dir, "device", 0x1110))
			continue;
		if (number--)
			continue;
		snprintf(path, sizeof(path), "%s/enable", dir);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd >= 0) {
			if (write(fd, "1", 1) != 1)
				fprintf(stderr, "ivshmem: %s: %s\n", path, strerror(errno));
			close(fd);
		}
		snprintf(path, sizeof(path), "%s/resource2", dir);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			break;
		page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		break;
	}
	globfree(&found);
	return page == MAP_FAILED ? NULL : page;
}

#endif /* _GUEST_IVSHMEM_H */
