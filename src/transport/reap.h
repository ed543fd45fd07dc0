/* SPDX-License-Identifier: MIT */
/*
 * Reaping: removing the files of sockets that are dead or closed, once nobody needs them.
 *
 * What a socket left is needed by each peer that maps it, and by each whom a place at an endpoint leads there:
 *   - the binder that has still to read what a dead connector had sent;
 *   - the connector that has still to map what its binder had sent;
 *   - the next binder, which looks up how far the one before it had read, unless the connector knows.
 * So a place names the connector that is announced in it, and the binder that accepted that connector, until the
 * connector has said that it has done with it (`done_with`).
 *
 * Who removes: whoever lets go of the files looks for their name afterwards, and removes them if there is none;
 * whoever takes the name away removes them afterwards, if nobody holds them. One of the two comes last.
 *
 * Died ...                                     state                       repair
 * after letting go, before the look            files without a name        `shmq gc`
 * after taking the name, before the removal    files without a name        `shmq gc`
 * half-way through the removal                 a segment without a bell    whoever looks next; the segment goes last
 */
#ifndef SHMQ_TRANSPORT_REAP_H
#define SHMQ_TRANSPORT_REAP_H

#include "transport/segment.h"

#define ANY_PLACE UINT32_MAX

/* Remove the files of the socket ID_HEX if it is dead or closed and nobody reads it any more.
 * Returns 1 if it removed them, 0 if they are in use or gone. */
int reap_socket(struct store *store, const char *id_hex);

/* The same for one's own files, after segment_unmap(). */
void reap_own(struct segment *segment);

/* Does a place at any endpoint lead to the socket ID_HEX? Also true when that cannot be found out: not now, or
 * never, in a store without names. */
bool reap_is_named(struct store *store, const char *id_hex);

/* Does a place at the endpoint of FILE: this one, or ANY_PLACE? Likewise. */
bool reap_is_named_at(struct store *store, const char *file, const char *id_hex, uint32_t place);

#endif
