/* SPDX-License-Identifier: MIT */
/* The runtime directory as the tool sees it: only read, never created. */
#ifndef SHMQ_TOOL_PLACE_H
#define SHMQ_TOOL_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "transport/store.h"

struct place {
    struct store *store;
    char path[PATH_MAX];
    char **files; /* sorted, so that output is stable */
    size_t count;
};

/* Open and list it. -ENOENT: there is none; -EPERM: it is not ours, or open to others. */
int place_open(struct place *place);
void place_close(struct place *place);

bool file_is_endpoint(const char *file);

/* Is FILE "<32 hex digits><SUFFIX>"? Stores the digits. */
#define ID_HEX 32
bool file_is_of_socket(const char *file, const char *suffix, char id_hex[ID_HEX + 1]);

#endif
