// SPDX-License-Identifier: GPL-2.0-only
/* Mappings that lose their file: see guard.h. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/ffclock.h>

#include "guard.h"

static volatile sig_atomic_t count;

static void lost(int sig, siginfo_t *info, void *context)
{
	void *page = (void *)((uintptr_t)info->si_addr & ~(uintptr_t)(FFCLOCK_PAGE_SIZE - 1));

	(void)context;
	/* mmap() is a bare system call: safe here.  All that we share are such pages */
	if (info->si_code == BUS_ADRERR &&
	    mmap(page, FFCLOCK_PAGE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
		count++;
		return;
	}
	/* anything else is what it always was */
	signal(sig, SIG_DFL);
	raise(sig);
}

int guard_setup(void)
{
	struct sigaction sa = { .sa_sigaction = lost, .sa_flags = SA_SIGINFO };

	sigemptyset(&sa.sa_mask);
	return sigaction(SIGBUS, &sa, NULL) ? -errno : 0;
}

unsigned int guard_count(void)
{
	return (unsigned int)count;
}
