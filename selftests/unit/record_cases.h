/* SPDX-License-Identifier: GPL-2.0-only */
/* A good record and bad ones, for the unit test and the kernel's */
#ifndef RECORD_CASES_H
#define RECORD_CASES_H

#define HOST	"0123abcd-4567-89ef-0123-456789abcdef"

/* What the checksum covers, and the record that it makes */
#define BODY	"ffclock/1 host=" HOST " seq=7 status=2 next=16 stale=0 " \
		"utc=1795256983.8000000000000000 est=500 max=1000 tai=37 leap=0@0 " \
		"xen=28507830913,89705f4136b4a597,29,901d7cf73ab,384b84d092ed0"

/* One thing wrong at a time: @from becomes @to in BODY */
static const struct { const char *from, *to; int ret; } wrong[] = {
	{ "ffclock/1", "ffclock/2", -EPROTONOSUPPORT },
	{ "ffclock/1", "ffclock/11", -EPROTONOSUPPORT },
	{ "ffclock/1", "ffclock", -EPROTO },
	{ "ffclock/1", " ffclock/1", -EPROTO },
	{ "host=0123abcd", "host=0123ABCD", -EPROTO },
	{ "host=0123abcd", "host=0123abc", -EPROTO },
	{ "host=0123abcd", "host=0123abcde", -EPROTO },
	{ "seq=7", "seq=", -EPROTO },
	{ "seq=7", "seq=07", -EPROTO },
	{ "seq=7", "seq=+7", -EPROTO },
	{ "seq=7", "seq=-7", -EPROTO },
	{ "seq=7", "seq=18446744073709551616", -EPROTO },
	{ "seq=7", "seq=99999999999999999999999999", -EPROTO },
	{ "seq=7 ", "seq=7  ", -EPROTO },
	{ "status=2", "status=5", -EPROTO },
	{ "next=16", "next=0", -EPROTO },
	{ "next=16", "next=131073", -EPROTO },
	{ "stale=0", "stale=31536001", -EPROTO },
	{ "utc=1795256983", "utc=17179869185", -EPROTO },
	{ "utc=1795256983", "utc=-1", -EPROTO },
	{ ".8000000000000000", ".800000000000000", -EPROTO },
	{ ".8000000000000000", ".80000000000000000", -EPROTO },
	{ "est=500", "est=1000000000000000001", -EPROTO },
	{ "max=1000", "max=1000000000000000001", -EPROTO },
	{ "tai=37", "tai=1001", -EPROTO },
	{ "tai=37", "tai=-37", -EPROTO },
	{ "leap=0@0", "leap=0@1", -EPROTO },
	{ "leap=0@0", "leap=1@0", -EPROTO },
	{ "leap=0@0", "leap=2@1798761600", -EPROTO },
	{ "leap=0@0", "leap=1@17179869185", -EPROTO },
	{ "xen=", "xem=", -EPROTO },
	{ ",29,", ",64,", -EPROTO },
	{ "89705f4136b4a597", "0", -EPROTO },
	{ "89705f4136b4a597", "089705f4136b4a597", -EPROTO },
	/* a period of more than half a second */
	{ "89705f4136b4a597,29", "8000000000000001,0", -EPROTO },
	/* an error larger than the period */
	{ ",384b84d092ed0", ",89705f4136b4a598", -EPROTO },
	{ "901d7cf73ab,", "", -EPROTO },
	{ " xen=28507830913,89705f4136b4a597,29,901d7cf73ab,384b84d092ed0", "", -EPROTO },
};

#endif /* RECORD_CASES_H */
