/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TAP for tests in C.
 *
 *	plan(3);			announce; first
 *	plan_later();			or this: finish() counts and tells
 *	ok(x == 1, "x is %d", x);	a point
 *	skip("text", "why");		a point not tested
 *	diag("x = %d", x);		a comment line
 *	skip_all("why");		nothing can be tested here: exits
 *	bail("why");			cannot go on: exits
 *	return finish();		last
 *
 * From one thread only: others report through the data they share with it.
 */
#ifndef _SELFTESTS_TAP_H
#define _SELFTESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define TAP_UNUSED __attribute__((unused))

static int tap_planned, tap_count, tap_failed;

static TAP_UNUSED void plan(int n)
{
	tap_planned = n;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n1..%d\n", n);
}

static TAP_UNUSED void plan_later(void)
{
	tap_planned = -1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 13\n");
}

static TAP_UNUSED __attribute__((format(printf, 1, 2))) void diag(const char *fmt, ...)
{
	va_list ap;

	printf("# ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static TAP_UNUSED __attribute__((format(printf, 2, 3))) bool ok(bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!good)
		tap_failed++;
	return good;
}

static TAP_UNUSED void skip(const char *text, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_count, text, why);
}

static TAP_UNUSED __attribute__((noreturn)) void skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	fflush(stdout);
	exit(77);
}

static TAP_UNUSED __attribute__((noreturn, format(printf, 1, 2))) void bail(const char *fmt, ...)
{
	va_list ap;

	printf("Bail out! ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	exit(1);
}

static TAP_UNUSED int finish(void)
{
	if (tap_planned < 0) {
		tap_planned = tap_count;
		printf("1..%d\n", tap_count);
		diag("%d tests, %d failed", tap_count, tap_failed);
	}
	fflush(stdout);
	return tap_failed || tap_count != tap_planned;
}

#endif /* _SELFTESTS_TAP_H */
