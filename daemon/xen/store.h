/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Dom0's record in Xenstore: who gets it, and with which permissions.
 *
 * Every other domain has /local/domain/ID/ffclock/clock, owned by Dom0, readable
 * by that domain and nobody else.  Each write is a transaction that begins with a
 * look at these permissions, so that neither a half-made node nor one of a domain
 * that is gone is ever left behind.
 */
#ifndef FFCLOCK_XENPUBLISH_STORE_H
#define FFCLOCK_XENPUBLISH_STORE_H

#include <stddef.h>

struct store;

/**
 * store_open() - connect to xenstored, and watch domains come and go
 *
 * Return: the connection, or NULL with errno
 */
struct store *store_open(void);
void store_close(struct store *s);

/* Descriptor to poll for POLLIN: then store_event() */
int store_fd(const struct store *s);

/**
 * store_event() - domains came or went
 * @s: connection
 *
 * Those that came are given the present record.
 *
 * Return: 0; -ENOTCONN: xenstored is gone
 */
int store_event(struct store *s);

/**
 * store_publish() - a new record, for everybody
 * @s: connection
 * @text: the record
 * @len: its length
 *
 * Return: 0; -ENOTCONN: xenstored is gone
 */
int store_publish(struct store *s, const char *text, size_t len);

/**
 * store_retry() - try again what failed
 * @s: connection
 *
 * Return: number of domains that still lack the record; -ENOTCONN
 */
int store_retry(struct store *s);

/* Number of domains that have the present record */
unsigned int store_served(const struct store *s);

#endif /* FFCLOCK_XENPUBLISH_STORE_H */
