/* SPDX-License-Identifier: GPL-2.0-only */
/* Files of procfs and sysfs that say one word. */
#ifndef FFCLOCKD_WORD_H
#define FFCLOCKD_WORD_H

#include <stddef.h>

/**
 * read_word() - the first word of a file's first line
 * @path: file
 * @dst: receives it, terminated; empty on error; longer ones are cut
 * @size: of @dst, at least 2
 *
 * Return: 0, -EIO if there is none, or the -errno of open
 */
int read_word(const char *path, char *dst, size_t size);

#endif /* FFCLOCKD_WORD_H */
