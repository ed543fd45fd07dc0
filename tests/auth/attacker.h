/* SPDX-License-Identifier: MIT */
/* What somebody can do who may write the runtime directory: map its files, and find rings in them. */
#ifndef SHMQ_TEST_AUTH_ATTACKER_H
#define SHMQ_TEST_AUTH_ATTACKER_H

#include "support/harness.h"

#include "transport/ring_layout.h"
#include "transport/segment_layout.h"

struct file {
    char path[400];
    unsigned char *bytes;
    size_t size;
};

struct file file_map(const char *name);
void file_unmap(struct file *file);
/* A copy of it, on the heap. */
void file_read(const char *name, struct file *file);
/* The ring with most messages of a socket of this type, its file mapped. */
struct ring_header *ring_find(int type, struct file *file);
struct ring_slot *slot_of(struct ring_header *ring, uint64_t ticket);

#endif
