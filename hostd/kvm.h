/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What KVM says about a guest's TSC: debugfs, kvm/PID-FD/vcpuN/tsc-*.
 *
 * tsc-scaling-ratio and its frac-bits are there only where the processor can
 * scale.  Kernels before the frac-bits file: 48 on Intel, 32 on AMD.
 */
#ifndef HOSTD_KVM_H
#define HOSTD_KVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "compose.h"

/**
 * struct kvm_vm - a virtual machine of KVM's
 * @dirfd: its directory
 */
struct kvm_vm {
	int	dirfd;
};

/**
 * kvm_reachable() - whether machines could be found at all
 * @debugfs: where debugfs is expected
 * @why: receives what is wrong, and what to do
 * @why_len: size of @why
 *
 * Return: 0; -ENOENT: KVM is not loaded; -ENODEV: no debugfs there; -EACCES, -EPERM
 */
int kvm_reachable(const char *debugfs, char *why, size_t why_len);

/**
 * kvm_open() - find a process's machine
 * @dir: debugfs's kvm directory
 * @pid: the process
 * @vm: receives it
 * @why: receives a reason
 * @why_len: size of @why
 *
 * Return: 0; -ENOENT: it has none, or no virtual processor yet; -ENODEV: there
 * is no such directory at all; -EACCES, -EPERM; -ENOTUNIQ: it has several
 */
int kvm_open(const char *dir, pid_t pid, struct kvm_vm *vm, char *why, size_t why_len);
void kvm_close(struct kvm_vm *vm);

/* The quick look: the first processor's offset.  Return: 0 or -errno */
int kvm_offset(const struct kvm_vm *vm, uint64_t *offset);

/**
 * kvm_map() - all processors' offsets and ratios
 * @vm: machine
 * @map: receives them
 * @vcpus: receives the number of processors
 *
 * Return: 0; -EAGAIN: the processors do not agree; -ENOENT: there are none;
 * -EINVAL: something that is no number, or no possible ratio
 */
int kvm_map(const struct kvm_vm *vm, struct tsc_map *map, unsigned int *vcpus);

/* Whether any of its processors has run.  true if that cannot be known */
bool kvm_ran(const struct kvm_vm *vm);

/* A file's content as tsc-offset and the others have it.  Return: 0 or -EINVAL */
int kvm_number(const char *text, size_t len, uint64_t *value);

#endif /* HOSTD_KVM_H */
