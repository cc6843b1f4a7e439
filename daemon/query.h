/* SPDX-License-Identifier: GPL-2.0-only */
/* ffclockd -Q: ask once, print, set nothing. */
#ifndef FFCLOCKD_QUERY_H
#define FFCLOCKD_QUERY_H

#include "config.h"

/**
 * query_main() - print what the servers say of CLOCK_REALTIME
 * @cfg: servers and counter; its outputs are not used
 *
 * Takes some seconds.
 *
 * Return: exit status: 0, or 1 when no server answered
 */
int query_main(struct config *cfg);

#endif /* FFCLOCKD_QUERY_H */
