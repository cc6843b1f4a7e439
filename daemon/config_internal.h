/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Between the configuration and its keys, which find their struct config in
 * conffile.to.
 */
#ifndef FFCLOCKD_CONFIG_INTERNAL_H
#define FFCLOCKD_CONFIG_INTERNAL_H

#include "conffile.h"
#include "config.h"

/* Keys about running (config_run.c) */
void config_key_control(struct conffile *f);
void config_key_state(struct conffile *f);
void config_key_sandbox(struct conffile *f);

/* Keys about outputs (config_output.c), and the settings without them */
void config_output_defaults(struct config *cfg);
void config_key_systemclock(struct conffile *f);
void config_key_serve(struct conffile *f);
void config_key_allow(struct conffile *f);
void config_key_deny(struct conffile *f);
void config_key_ratelimit(struct conffile *f);
void config_key_shm(struct conffile *f);
void config_key_sock(struct conffile *f);
void config_key_metrics(struct conffile *f);

#endif /* FFCLOCKD_CONFIG_INTERNAL_H */
