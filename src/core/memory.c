/* SPDX-License-Identifier: MIT */
#include "core/memory.h"

#include <stdlib.h>

int memory_open(struct shm_socket *s, int flags)
{
    int error = flags & SHM_MEMFD ? store_open_memfd(&s->store) : store_open(&s->store);
    if (error < 0)
        return error;
    error = segment_new(&s->segment, s->store, (uint32_t)s->type);
    if (error < 0)
        return error;
    error = bell_new(&s->bell, s->store, s->segment.id_hex);
    if (error < 0)
        return error;
    arena_init(&s->arena, &s->segment);
    s->hazards.header = s->segment.header;
    s->stats = s->segment.header->stats;
    s->arena.limit = memory_default_limit(s);
    return s->kind->open != NULL ? s->kind->open(s) : 0;
}

void memory_free(struct shm_socket *s)
{
    if (s->kind->close != NULL)
        s->kind->close(s);
    free(s->pipes.list);
    free(s->rx.message.copy);
    while (s->tx.retired != NULL) {
        struct block *next = s->tx.retired->next;
        block_forget(s->tx.retired);
        s->tx.retired = next;
    }
    if (s->tx.shared.claims != NULL && process_is_mine(s->mark))
        claims_detach(s->tx.shared.claims);
    free(s->tx.shared.claims);
    ring_out_forget(&s->tx.shared);
    arena_deinit(&s->arena);
    free(s);
}

/* Does an endpoint still name us, so that peers may come for our files? */
static bool is_named(const struct shm_socket *s)
{
    return reap_is_named(s->store, s->segment.id_hex);
}

void memory_unref(struct shm_socket *s)
{
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (s->tx.shared.claims != NULL) {
        claims_detach(s->tx.shared.claims);
        free(s->tx.shared.claims);
        s->tx.shared.claims = NULL;
    }
    bell_detach(&s->bell);
    if (s->segment.store != NULL) {
        /* Drop our life lock before looking: a peer first removes our name from the endpoint, then looks for our lock.
         * So one of us removes the files. */
        segment_unmap(&s->segment);
        if (!s->files_awaited || !is_named(s))
            reap_own(&s->segment);
        segment_close(&s->segment);
    }
    store_close(s->store);
    memory_free(s);
}
