/* SPDX-License-Identifier: MIT */
#include "lag.h"

#include <stdio.h>
#include <unistd.h>

#include "transport/claims.h"
#include "transport/os.h"

#define WORDS_AT_ONCE 512

struct claims_count {
    uint64_t hint, head, mask;
    struct lag *lag;
};

/* Count one claim word, of slot SLOT. Only the slot's newest ticket below head can be unread. */
static void count_word(const struct claims_count *count, uint64_t slot, uint64_t word)
{
    if (claim_state(word) == CLAIM_CLAIMED) {
        count->lag->in_hand++;
        return; /* a later ticket of this slot was skipped: not a message */
    }
    uint64_t back = (count->head - 1 - slot) & count->mask;
    if (count->head <= back)
        return; /* never used */
    uint64_t ticket = count->head - 1 - back;
    if (ticket >= count->hint && !claim_is_taken(word, ticket))
        count->lag->unread++;
}

/* The words say who took what; the hint only says below which ticket there is no need to look. A skipped
 * ticket counts as unread until the hint has passed it. */
static void count_claims(struct lag *lag, const struct socket_look *sender, struct store *store, uint64_t head)
{
    struct claims_header header;
    uint64_t words[WORDS_AT_ONCE];
    char name[64];

    snprintf(name, sizeof name, "%.32s.claims", sender->id_hex);
    int fd = store_file_open(store, name, OS_READ);
    if (fd < 0)
        return;
    if (head > 0 && read_at(fd, 0, &header, sizeof header) == 0 && header.magic == CLAIMS_MAGIC) {
        struct claims_count count = {load_relaxed(&header.hint), head, lag->slots - 1, lag};
        for (uint64_t slot = 0; slot < lag->slots; slot++) {
            uint64_t left = lag->slots - slot, n = left < WORDS_AT_ONCE ? left : WORDS_AT_ONCE;
            if (slot % WORDS_AT_ONCE == 0 &&
                read_at(fd, sizeof header + slot * sizeof(uint64_t), words, (size_t)n * sizeof(uint64_t)) < 0)
                break;
            count_word(&count, slot, words[slot % WORDS_AT_ONCE]);
        }
    }
    close(fd);
}

static struct lag lag_of(const struct socket_look *sender, struct store *store, uint64_t offset, uint64_t *head)
{
    struct ring_header ring;
    struct lag lag = {0};

    if (offset == 0 || ring_look(sender, offset, &ring) < 0)
        return lag;
    lag.is_known = true;
    lag.kind = ring.kind;
    lag.slots = ring.slots;
    *head = load_relaxed(&ring.head);
    if (lag.kind == RING_SPMC)
        count_claims(&lag, sender, store, *head);
    return lag;
}

struct lag lag_of_ring(const struct socket_look *sender, struct store *store, uint64_t offset)
{
    uint64_t head;
    return lag_of(sender, store, offset, &head);
}

struct lag lag_of_pipe(const struct socket_look *sender, struct store *store, struct pipe_record *sender_record,
                       struct pipe_record *reader_record)
{
    uint64_t head;
    struct lag lag = lag_of(sender, store, load_relaxed(&sender_record->ring_offset), &head);
    if (!lag.is_known || lag.kind == RING_SPMC)
        return lag;
    uint64_t tail = load_relaxed(&sender_record->start), end = load_relaxed(&sender_record->end);
    if (tail == UINT64_MAX)
        return lag; /* the sender has not seen this reader yet: nothing is for it */
    if (reader_record != NULL && load_relaxed(&reader_record->tail) > tail)
        tail = load_relaxed(&reader_record->tail);
    if (head > end)
        head = end;
    lag.unread = head > tail ? head - tail : 0;
    return lag;
}
