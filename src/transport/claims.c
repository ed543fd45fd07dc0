/* SPDX-License-Identifier: MIT */
#include "transport/claims.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "transport/life.h"
#include "transport/os.h"
#include "transport/shared_file.h"
#include "transport/store.h"

#define CHOICES_MAX 100

static void set_name(struct claims *claims, struct store *store, const char *id_hex)
{
    memset(claims, 0, sizeof *claims);
    snprintf(claims->name, sizeof claims->name, "%.32s.claims", id_hex);
    claims->store = store;
}

static size_t file_size(uint64_t slots)
{
    return CLAIMS_HEADER + (size_t)slots * sizeof(shared_u64);
}

static void set_memory(struct claims *claims, void *memory, uint64_t slots)
{
    claims->header = memory;
    claims->words = (shared_u64 *)(void *)((char *)memory + CLAIMS_HEADER);
    claims->slots = slots;
}

struct claims_init {
    struct claims *claims;
    uint64_t slots;
};

static void init_claims(void *context, int fd, void *memory)
{
    const struct claims_init *init = context;
    (void)fd;
    set_memory(init->claims, memory, init->slots);
    init->claims->header->magic = CLAIMS_MAGIC;
    init->claims->header->slots = init->slots;
}

int claims_new(struct claims *claims, struct store *store, const char *id_hex, uint64_t slots)
{
    size_t size = file_size(slots);
    const struct shared_file file = {size, size, size, NO_LIFE, OS_WRITE};
    struct claims_init init = {claims, slots};

    set_name(claims, store, id_hex);
    int error = shared_file_new(store, claims->name, &file, init_claims, &init);
    if (error < 0)
        claims_detach(claims);
    return error;
}

/* A set of owners. */
struct owners {
    uint64_t words[(CLAIMS_OWNERS + 64) / 64];
};

static bool has_owner(const struct owners *owners, uint32_t owner)
{
    return owners->words[owner / 64] >> owner % 64 & 1;
}

static void add_owner(struct owners *owners, uint32_t owner)
{
    owners->words[owner / 64] |= UINT64_C(1) << owner % 64;
}

static void note_named(struct claims *claims, struct owners *named)
{
    for (uint64_t i = 0; i < claims->slots; i++) {
        uint64_t word = peer_u64(&claims->words[i]);
        if (claim_state(word) == CLAIM_CLAIMED)
            add_owner(named, claim_owner(word));
    }
}

/*
 * Become an owner: a locked byte that no word names, so that a dead one's claims stay the dead's. One may
 * have claimed and died since the words were looked at, so they are looked at again with the lock; who names
 * all owners in turn gets us to give up.
 */
static int choose_owner(struct claims *claims, int fd)
{
    struct owners named = {0};
    int looks = 0;

    note_named(claims, &named);
    for (uint32_t owner = 1; owner <= CLAIMS_OWNERS && looks < CHOICES_MAX; owner++) {
        if (has_owner(&named, owner))
            continue;
        int error = life_take(fd, CLAIMS_BYTE_OWNER + owner);
        if (error == -EAGAIN)
            continue;
        if (error < 0)
            return error;
        note_named(claims, &named);
        looks++;
        if (!has_owner(&named, owner)) {
            claims->owner = owner;
            return 0;
        }
        life_give(fd, CLAIMS_BYTE_OWNER + owner);
    }
    return -EUSERS;
}

int claims_attach(struct claims *claims, struct store *store, const char *id_hex, uint64_t slots)
{
    void *memory;

    set_name(claims, store, id_hex);
    int fd = store_file_open(store, claims->name, OS_WRITE);
    if (fd < 0)
        return fd;
    int error = shared_file_map(fd, file_size(slots), &memory);
    if (error == 0) {
        set_memory(claims, memory, slots);
        if (peer_u64_once(&claims->header->magic) != CLAIMS_MAGIC || peer_u64_once(&claims->header->slots) != slots)
            error = -EPROTO;
    }
    if (error == 0)
        error = choose_owner(claims, fd);
    os_close(fd); /* the mapping keeps the lock */
    if (error < 0)
        claims_detach(claims);
    return error;
}

void claims_detach(struct claims *claims)
{
    if (claims->header != NULL)
        os_unmap(claims->header, file_size(claims->slots));
    claims->header = NULL;
    claims->words = NULL;
}

void claims_unlink(struct store *store, const char *id_hex)
{
    char name[48];
    snprintf(name, sizeof name, "%.32s.claims", id_hex);
    store_file_unlink(store, name);
}

uint64_t claims_adopt(struct claims *claims)
{
    struct owners alive = {0}; /* the kernel is asked once about each */
    uint64_t adopted = UINT64_MAX;
    int fd = -1;

    for (uint64_t i = 0; i < claims->slots && adopted == UINT64_MAX; i++) {
        uint64_t word = peer_u64(&claims->words[i]);
        uint32_t owner = claim_owner(word);
        if (claim_state(word) != CLAIM_CLAIMED || owner == claims->owner || has_owner(&alive, owner) ||
            claim_ticket(word) % claims->slots != i) /* a liar's: that ticket is not this slot's */
            continue;
        if (fd < 0 && (fd = store_file_open(claims->store, claims->name, OS_READ)) < 0)
            return UINT64_MAX;
        if (life_is_held(fd, CLAIMS_BYTE_OWNER + owner, 1)) {
            add_owner(&alive, owner);
            continue;
        }
        if (claims_take(claims, i, word, claim_ticket(word)))
            adopted = claim_ticket(word); /* its low bits: enough for the slot and the word */
    }
    if (fd >= 0)
        os_close(fd);
    return adopted;
}
