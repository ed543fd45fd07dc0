/* SPDX-License-Identifier: MIT */
#include "transport/reap.h"

#include <errno.h>
#include <string.h>

#include "base/seqlock.h"
#include "transport/bell.h"
#include "transport/claims.h"
#include "transport/endpoint_layout.h"
#include "transport/life.h"

#define PLACES_AT_ONCE 16

/* ---- removing ---- */

/* The owner first: it does not come back, while to hold the file alone turns readers away. */
static int reap_locked(struct store *store, int fd, const char *id_hex)
{
    char name[40];
    if (life_is_held(fd, SEGMENT_BYTE_OWNER, 1) || os_hold(fd, OS_WRITE) != 0)
        return 0;
    segment_file(name, id_hex);
    /* The segment last: a reaper killed half-way leaves what the next one finds. */
    bell_unlink(store, id_hex);
    claims_unlink(store, id_hex);
    store_file_unlink(store, name);
    return 1;
}

int reap_socket(struct store *store, const char *id_hex)
{
    char name[40];
    segment_file(name, id_hex);
    int fd = store_file_open(store, name, OS_READ);
    if (fd < 0)
        return 0;
    int removed = reap_locked(store, fd, id_hex);
    os_close(fd);
    return removed;
}

void reap_own(struct segment *segment)
{
    if (segment->fd >= 0)
        reap_locked(segment->store, segment->fd, segment->id_hex);
}

/* ---- who is named where ---- */

static bool is_id(const shared_u64 words[2], const char *id_hex)
{
    char hex[2 * SEGMENT_ID_SIZE + 1];
    uint8_t id[SEGMENT_ID_SIZE];
    memcpy(id, words, sizeof id);
    segment_id_hex(hex, id);
    return strcmp(hex, id_hex) == 0;
}

/* Is it the connector there, or the binder that accepted that one, which has not done with it? SLOT is a copy. */
static bool names(const struct endpoint_slot *slot, const char *id_hex)
{
    if (!seqlock_is_valid(slot->member.gen, SEQLOCK_ODD))
        return false;
    if (is_id(slot->member.id, id_hex))
        return true;
    int newest = seqlock_newest(load_relaxed(&slot->accepts[0].gen), load_relaxed(&slot->accepts[1].gen));
    const struct accept_record *record = &slot->accepts[newest == 1];
    return newest >= 0 && record->verdict == VERDICT_ACCEPTED && record->peer_gen == slot->member.gen &&
           record->gen != slot->member.done_with && is_id(record->binder_id, id_hex);
}

/*
 * Does one of *COUNT places from FROM on? *COUNT becomes smaller if the file ends before. A no counts only for a place
 * that was seen in one state (seqlock.h): an empty one by its generation alone, the others by two equal copies. A yes
 * needs no second look: if the name is just being taken away, whoever does that removes the files afterwards.
 */
static bool is_named_among(int fd, uint32_t from, uint32_t *count, const char *id_hex)
{
    struct endpoint_slot copies[2][PLACES_AT_ONCE];
    bool settled[PLACES_AT_ONCE] = {false}, all_settled = false;

    for (int attempt = 0; attempt < SEQLOCK_TRIES && !all_settled; attempt++) {
        struct endpoint_slot *now = copies[attempt % 2];
        const struct endpoint_slot *before = copies[1 - attempt % 2];
        fence_acquire(); /* this copy comes after the one before */
        ssize_t size = os_file_read(fd, ENDPOINT_HEADER_SIZE + from * sizeof *now, now, *count * sizeof *now);
        if (size < 0)
            return true;
        *count = (uint32_t)((size_t)size / sizeof *now); /* behind the file's end there is nobody */
        all_settled = true;
        for (uint32_t i = 0; i < *count; i++) {
            if (settled[i])
                continue;
            if (names(&now[i], id_hex))
                return true;
            settled[i] = !seqlock_is_valid(now[i].member.gen, SEQLOCK_ODD) ||
                         (attempt > 0 && seqlock_same(&before[i], &now[i], sizeof now[i]));
            all_settled = all_settled && settled[i];
        }
    }
    return !all_settled;
}

bool reap_is_named_at(struct store *store, const char *file, const char *id_hex, uint32_t place)
{
    struct { uint32_t tombstone, high; } now = {0};
    bool named = false;

    int fd = store_file_open(store, file, OS_READ);
    if (fd < 0)
        return fd != -ENOENT && fd != -EPERM;
    if (os_file_read(fd, offsetof(struct endpoint_header, tombstone), &now, sizeof now) < 0)
        named = true;
    else if (now.tombstone != 0)
        now.high = 0; /* whoever removes it has yet to remove what it names */
    uint32_t high = now.high < ENDPOINT_SLOTS ? now.high : ENDPOINT_SLOTS;
    uint32_t from = place == ANY_PLACE ? 0 : place, end = place == ANY_PLACE || place >= high ? high : place + 1;
    for (uint32_t count = 1; from < end && count > 0 && !named; from += PLACES_AT_ONCE) {
        count = end - from < PLACES_AT_ONCE ? end - from : PLACES_AT_ONCE;
        named = is_named_among(fd, from, &count, id_hex);
    }
    os_close(fd);
    return named;
}

struct wanted {
    struct store *store;
    const char *id_hex;
};

static bool is_named_in(const void *context, const char *file)
{
    const struct wanted *wanted = context;
    return reap_is_named_at(wanted->store, file, wanted->id_hex, ANY_PLACE);
}

bool reap_is_named(struct store *store, const char *id_hex)
{
    const struct wanted wanted = {store, id_hex};
    if (!store_has_names(store))
        return true; /* who may come was sent the files */
    return store_file_find(store, ENDPOINT_SUFFIX, is_named_in, &wanted) != 0;
}
