// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unit tests of ffclockd's sandbox: what it needs still works, what it does not
 * need is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "sandbox.h"

/* In a child, in the sandbox: the number of the first check that fails, or 0 */
static int in_sandbox(int (*checks)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		log_setup(LOG_ERR, false);
		if (sandbox_enter())
			_exit(99);
		_exit(checks());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define REFUSED(call)	do { errno = 0; if ((call) != -1 || errno != EPERM) return __LINE__ % 90 + 1; \
			} while (0)
#define WORKS(cond)	do { if (!(cond)) return __LINE__ % 90 + 1; } while (0)

static int refused(void)
{
	static char *const argv[] = { "true", NULL };
	struct rlimit r = { 0, 0 };

	REFUSED(execve("/bin/true", argv, NULL));
	REFUSED(syscall(SYS_fork));
	REFUSED(syscall(SYS_vfork));
	REFUSED(syscall(SYS_clone, 17 /* SIGCHLD: a process */, NULL, NULL, NULL, NULL));
	REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	REFUSED(socket(AF_PACKET, SOCK_RAW, 0));
	REFUSED(socket(AF_VSOCK, SOCK_STREAM, 0));
	REFUSED(ioctl(0, TIOCSTI, "x"));
	REFUSED(mount("none", "/", "tmpfs", 0, NULL));
	REFUSED(setuid(0));
	REFUSED(chmod("/tmp", 0777));
	REFUSED(chown("/tmp", 0, 0));
	REFUSED(kill(getppid(), 0));
	REFUSED(syscall(SYS_clock_settime, CLOCK_REALTIME, NULL));
	REFUSED(syscall(SYS_settimeofday, NULL, NULL));
	REFUSED(syscall(SYS_init_module, NULL, 0, ""));
	REFUSED(syscall(SYS_bpf, 0, NULL, 0));
	REFUSED(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
	REFUSED(syscall(SYS_unshare, 0));
	REFUSED(syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
	REFUSED(syscall(SYS_io_uring_setup, 1, NULL));
	REFUSED(setrlimit(RLIMIT_CORE, &r));
	return 0;
}

static void *thread(void *arg)
{
	*(int *)arg = 1;
	return arg;
}

static int works(void)
{
	struct addrinfo *ai = NULL, hints = { .ai_flags = AI_NUMERICHOST };
	struct timex tx = { 0 };
	pthread_t t;
	int ran = 0, fd;
	FILE *f;

	WORKS(!pthread_create(&t, NULL, thread, &ran) && !pthread_join(t, NULL) && ran);
	WORKS(!getaddrinfo("127.0.0.1", "123", &hints, &ai));
	freeaddrinfo(ai);
	hints.ai_flags = 0;
	/* by files, or asking a server that may not be there: no refusal on the way */
	ai = NULL;
	errno = 0;
	if (!getaddrinfo("localhost", NULL, &hints, &ai))
		freeaddrinfo(ai);
	else
		WORKS(errno != EPERM);
	WORKS(adjtimex(&tx) >= 0);
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	WORKS(fd >= 0 || errno == EAFNOSUPPORT);
	f = tmpfile();
	WORKS(f && fputs("x", f) >= 0 && !fclose(f));
	return 0;
}

static void test_refused(void **state)
{
	int ret = in_sandbox(refused);

	(void)state;
	if (ret == 99)
		skip();	/* no seccomp here: sandbox_enter() has said so */
	assert_int_equal(ret, 0);
}

static void test_works(void **state)
{
	int ret = in_sandbox(works);

	(void)state;
	if (ret == 99)
		skip();
	assert_int_equal(ret, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_works),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
