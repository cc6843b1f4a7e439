/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration file of ffclockd: one key and its values per line.
 *
 * The parser is pure (text in, structure and messages out); ffclockd.conf(5)
 * describes the keys.
 */
#ifndef FFCLOCKD_CONFIG_H
#define FFCLOCKD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_PATH		"/etc/ffclockd.conf"
#define CONFIG_CONTROL		"/run/ffclock/ffclockd.sock"
#define CONFIG_STATE		"/var/lib/ffclock/ffclockd.state"
#define CONFIG_SOURCES_MAX	16
#define CONFIG_HOST_MAX		254	/* RFC 1035: 253 characters, and the zero */
#define CONFIG_FILE_MAX		1024
#define CONFIG_SOCKET_MAX	108	/* sun_path of unix(7), the zero included */
#define CONFIG_USER_MAX		33	/* useradd(8): 32, and the zero */

/* Poll intervals as log2 s: 1 s to 36 h; RFC 5905 allows 4 to 17 on the wire */
#define CONFIG_POLL_LO		0
#define CONFIG_POLL_HI		17
#define CONFIG_MINPOLL		6	/* 64 s: what public servers ask for */
#define CONFIG_MAXPOLL		10	/* 1024 s */

/* A device of this machine: every second, every 16 s when that does */
#define CONFIG_PHC_MINPOLL	0
#define CONFIG_PHC_MAXPOLL	4

/* VMClock: what the time is off by at most where the page does not tell: a second, in ns */
#define CONFIG_VMCLOCK_ERROR_NS	1000000000U

/* PPS: every pulse; an interrupt comes some us after it, 10 where the processor slept */
#define CONFIG_PPS_POLL		0
#define CONFIG_PPS_ERROR_NS	10000U

/* Addresses of a pool to use, if there are as many: three outvote a liar, and one to spare */
#define CONFIG_POOL_SOURCES	4

enum config_counter {
	CONFIG_COUNTER_AUTO,
	CONFIG_COUNTER_DEVICE,
	CONFIG_COUNTER_TSC,
	CONFIG_COUNTER_RAW,
};

enum config_output {
	CONFIG_OUTPUT_AUTO,
	CONFIG_OUTPUT_KERNEL,
	CONFIG_OUTPUT_NONE,
};

/* System clock: step beyond 0.1 s, in the first 3 updates; slew like ntpd and the kernel */
#define CONFIG_STEP_S		0.1
#define CONFIG_STEP_UPDATES	3
#define CONFIG_SLEW_PPM		500

/* NTP server: a client that polls every second, and a burst of one that begins */
#define CONFIG_SERVE_MAX	8
#define CONFIG_ACCESS_MAX	64
#define CONFIG_RATE_PER_S	2
#define CONFIG_RATE_BURST	16

/**
 * struct config_system - the system clock as output
 * @on: discipline it
 * @step_s: it is set, not slewed, when it is off by more [s]
 * @step_updates: in so many updates since the start or a break of the counter;
 *	-1: always
 * @slew_ppm: fastest slew [ppm], on top of the frequency
 */
struct config_system {
	bool		on;
	double		step_s;
	int		step_updates;
	double		slew_ppm;
};

/**
 * struct config_serve - where the NTP server listens
 * @addr: address, network byte order
 * @len: 4 or 16 bytes of it; 0: all addresses of either family
 * @port: UDP port
 */
struct config_serve {
	uint8_t		addr[16];
	uint8_t		len;
	uint16_t	port;
};

/**
 * struct config_access - who is answered; the longest prefix decides, of equals
 *	the last
 * @addr: network byte order
 * @len: 4 or 16
 * @bits: that count
 * @allow: answer, or not
 */
struct config_access {
	uint8_t		addr[16];
	uint8_t		len;
	uint8_t		bits;
	bool		allow;
};

/* Sorts of time sources; source_new() knows which function makes each */
enum config_source_kind {
	CONFIG_SOURCE_NTP,
	CONFIG_SOURCE_PHC,
	CONFIG_SOURCE_VMCLOCK,
	CONFIG_SOURCE_PPS,
	CONFIG_SOURCE_XENSTORE,
};

/**
 * struct config_source - one time source; a 'pool' line makes several
 * @kind: sort
 * @name: host name or address, path of a device, ...
 * @line: line of the file it came from
 * @minpoll: shortest poll interval [log2 s]
 * @maxpoll: longest poll interval [log2 s], not below @minpoll
 * @prefer: while it agrees with the majority, only such sources make the clock
 * @trust: while such sources have clocks, only they vote on what is true
 * @noselect: watch it only
 * @port: NTP: UDP port
 * @iburst: NTP: begin with a burst
 * @nts: NTP: authenticated, and never without
 * @nts_notime: NTP: while this host has no clock, take certificates out of their time
 * @nts_port: NTP: TCP port of key establishment
 * @nts_ca: NTP: file of certificate authorities; empty: the system's
 * @tai: PHC: it tells TAI
 * @phc_basic: PHC: the plainest way of reading it only
 * @trust_tsc: Xenstore: this domain's TSC is the host's own
 * @pps_clear: PPS: the second begins with the clear edge, not the assert edge
 * @offset_ns: PPS: how late its stamps are, +-0.5 s [ns]
 * @error_ns: PHC, PPS: bound of its own error; VMClock: the same where the page tells
 *	none [ns]
 * @pool: NTP: one of several addresses of @name, none of which serves two sources
 */
struct config_source {
	enum config_source_kind	kind;
	char			name[CONFIG_HOST_MAX];
	unsigned int		line;
	int8_t			minpoll;
	int8_t			maxpoll;
	bool			prefer;
	bool			trust;
	bool			noselect;
	uint16_t		port;
	bool			iburst;
	bool			pool;
	bool			nts;
	bool			nts_notime;
	uint16_t		nts_port;
	bool			tai;
	bool			phc_basic;
	bool			pps_clear;
	bool			trust_tsc;
	int32_t			offset_ns;
	uint32_t		error_ns;
	char			nts_ca[CONFIG_FILE_MAX];
};

/**
 * struct config - everything the file says, defaults filled in
 * @sources: in the order of the file
 * @n_sources: at least 1 after a successful config_parse()
 * @min_sources: so many must agree before there is a clock
 * @counter: raw counter to use
 * @output: where parameters go
 * @log_stamps: file the exchanges are appended to; empty: none
 * @log_map: file the clock's parameters are appended to; empty: none
 * @log_tracking: file that ffclock plot draws is appended to; empty: none
 * @control: socket of the ffclock command; empty: none
 * @control_set: the file names it: not being able to make it is an error
 * @state: file for a faster next start; empty: none
 * @state_set: the file names it
 * @sandbox: give up all system calls that are not needed
 * @system: the system clock as output
 * @serve: where the NTP server listens; @n_serve of them, 0: there is none
 * @access: whom it answers; @n_access of them
 * @rate_per_s: answers per client in the long run [1/s]
 * @rate_burst: at once
 * @shm: unit of the shared memory for chrony and ntpd; -1: none
 * @sock: socket of chrony's SOCK reference clock; empty: none
 * @metrics_port: TCP port on the loopback for Prometheus; 0: none
 * @user: to run as when started as root; empty: stay
 * @max_distance_ns: largest error bound of a usable source [ns]
 * @level: least important priority that is logged (syslog.h)
 */
struct config {
	struct config_source	sources[CONFIG_SOURCES_MAX];
	size_t			n_sources;
	unsigned int		min_sources;
	enum config_counter	counter;
	enum config_output	output;
	char			log_stamps[CONFIG_FILE_MAX];
	char			log_map[CONFIG_FILE_MAX];
	char			log_tracking[CONFIG_FILE_MAX];
	char			control[CONFIG_SOCKET_MAX];
	char			state[CONFIG_FILE_MAX];
	bool			control_set;
	bool			state_set;
	bool			sandbox;
	struct config_system	system;
	struct config_serve	serve[CONFIG_SERVE_MAX];
	size_t			n_serve;
	struct config_access	access[CONFIG_ACCESS_MAX];
	size_t			n_access;
	double			rate_per_s;
	unsigned int		rate_burst;
	int			shm;
	char			sock[CONFIG_SOCKET_MAX];
	uint16_t		metrics_port;
	char			user[CONFIG_USER_MAX];
	int64_t			max_distance_ns;
	int			level;
};

/* The settings of an empty file: no source */
void config_defaults(struct config *cfg);

/**
 * config_parse() - read a configuration
 * @cfg: receives the settings; begins with config_defaults()
 * @text: content of the file; any bytes
 * @len: its length
 * @name: name of the file for messages
 * @err: receives one line per error, 'NAME:LINE: what is wrong, what is
 *	allowed'; at most 20 of them
 *
 * Return: 0, or the number of errors found
 */
int config_parse(struct config *cfg, const char *text, size_t len, const char *name, FILE *err);

/**
 * config_load() - read a configuration file
 * @cfg: as config_parse()
 * @path: file of at most 1 MiB
 * @err: as config_parse()
 *
 * Return: 0, or the number of errors found
 */
int config_load(struct config *cfg, const char *path, FILE *err);

#endif /* FFCLOCKD_CONFIG_H */
