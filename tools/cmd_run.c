// SPDX-License-Identifier: GPL-2.0-only
/* ffclock run: a program that knows nothing of us, on the feed-forward clock. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ffclock.h"

#define PRELOAD		"libffclock-preload.so"

/* what a shell says of programs that are not there, or cannot be started */
#define EXIT_NO_EXEC	126
#define EXIT_NOT_FOUND	127

/* Where the preload is, from where we are: in a build tree, or installed */
int find_preload(char *path, size_t size)
{
	static const char * const places[] = { "../lib", "../libexec/ffclock" };
	char self[PATH_MAX], *here;
	unsigned int i;
	ssize_t n;

	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return -ENOENT;
	self[n] = '\0';
	here = dirname(self);
	for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
		n = snprintf(path, size, "%s/%s/" PRELOAD, here, places[i]);
		if (n > 0 && (size_t)n < size && !access(path, R_OK))
			return 0;
	}
	return -ENOENT;
}

/* As execvp() will find it; false: it will not */
static bool find_program(const char *name, char *path, size_t size)
{
	const char *dirs = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return (size_t)snprintf(path, size, "%s", name) < size;
	for (; dirs; dirs = *end ? end + 1 : NULL) {
		end = strchrnul(dirs, ':');
		if ((size_t)snprintf(path, size, "%.*s/%s", (int)(end - dirs), dirs, name) < size &&
		    !access(path, X_OK))
			return true;
	}
	return false;
}

/* Say why a preload will do nothing for this program: better than wonder */
static void warn_of_limits(const char *path)
{
	Elf64_Ehdr ehdr;
	struct stat st;
	bool dynamic = false;
	int fd, i;

	if (!stat(path, &st) && (st.st_mode & (S_ISUID | S_ISGID)) && geteuid())
		fprintf(stderr, "ffclock: %s is setuid or setgid: it gets nothing preloaded and keeps the kernel's clock\n",
			path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (pread(fd, &ehdr, sizeof(ehdr), 0) != sizeof(ehdr) ||
	    memcmp(ehdr.e_ident, ELFMAG, SELFMAG) || ehdr.e_ident[EI_CLASS] != ELFCLASS64 ||
	    ehdr.e_phentsize != sizeof(Elf64_Phdr))
		goto close;	/* a script, or another machine's: not ours to judge */
	for (i = 0; i < ehdr.e_phnum; i++) {
		Elf64_Phdr phdr;

		if (pread(fd, &phdr, sizeof(phdr),
			  (off_t)(ehdr.e_phoff + (uint64_t)i * sizeof(phdr))) != sizeof(phdr))
			goto close;
		if (phdr.p_type == PT_INTERP)
			dynamic = true;
	}
	if (!dynamic)
		fprintf(stderr, "ffclock: %s is statically linked: nothing can be preloaded, it keeps the kernel's clock\n",
			path);
close:
	close(fd);
}

int cmd_run(const struct options *o, int argc, char **argv)
{
	char preload[PATH_MAX], program[PATH_MAX], page[PATH_MAX], *list = NULL;
	const char *others = getenv("LD_PRELOAD");
	int first = 1, err;
	struct ffclock *h;

	if (first < argc && !strcmp(argv[first], "--"))
		first++;
	if (first >= argc) {
		fprintf(stderr, "usage: ffclock [--page FILE] run [--] PROGRAM [ARGUMENT...]\n");
		return EXIT_USAGE;
	}
	err = find_preload(preload, sizeof(preload));
	if (err) {
		fprintf(stderr, "ffclock: " PRELOAD " is neither in ../lib beside this program nor where the\n"
			"dynamic loader looks: install it (make install, or the package ffclock)\n");
		return EXIT_FAILED;
	}
	/* the program may change its directory before the next one is started */
	if (o->page && (!realpath(o->page, page) || setenv("FFCLOCK_PAGE", page, 1)))
		return fail(-errno, o->page);
	if (o->page ? ffclock_open_page(&h, page) : ffclock_open(&h))
		fprintf(stderr, "ffclock: no clock in %s: %s gets the kernel's until it is started anew\n",
			o->page ? o->page : FFCLOCK_DEV, argv[first]);
	else
		ffclock_close(h);

	if (asprintf(&list, "%s%s%s", preload, others && *others ? ":" : "",
		     others ? others : "") < 0 || setenv("LD_PRELOAD", list, 1))
		return fail(-ENOMEM, "LD_PRELOAD");
	if (find_program(argv[first], program, sizeof(program)))
		warn_of_limits(program);
	execvp(argv[first], argv + first);
	err = errno;
	fprintf(stderr, "ffclock: %s: %s\n", argv[first], strerror(err));
	free(list);
	return err == ENOENT ? EXIT_NOT_FOUND : EXIT_NO_EXEC;
}
