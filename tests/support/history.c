/* SPDX-License-Identifier: MIT */
/* The logs and the messages of the history checker. See history.h; the checks are in
 * history_check.c. */
#include "history.h"
#include "history_logs.h"
#include "harness.h"

struct history *history_new(unsigned actors, unsigned entries)
{
    size_t size =
        sizeof(struct history) + sizeof(struct history_log) * actors + sizeof(struct history_entry) * actors * entries;
    struct history *history = shared_memory(size);

    history->size_bytes = size;
    history->actors = actors;
    history->capacity = entries;
    return history;
}

void history_free(struct history *history)
{
    shared_memory_free(history, history->size_bytes);
}

static struct history_log *log_of(const struct history *history, unsigned actor)
{
    struct history_log *logs = (struct history_log *)(uintptr_t)(history + 1);

    CHECK(actor < history->actors);
    return &logs[actor];
}

static struct history_entry *entries_of(const struct history *history, unsigned actor)
{
    struct history_log *logs = (struct history_log *)(uintptr_t)(history + 1);
    struct history_entry *entries = (struct history_entry *)(logs + history->actors);

    return entries + (size_t)actor * history->capacity;
}

void history_log(struct history *history, unsigned actor, enum history_kind kind, unsigned sender, uint64_t number)
{
    struct history_log *log = log_of(history, actor);
    unsigned count = atomic_load_explicit(&log->count, memory_order_relaxed);

    if (count == history->capacity)
        FAIL("the history has no room for more than %u entries per actor", count);
    entries_of(history, actor)[count] = (struct history_entry){number, (uint32_t)kind, sender};
    atomic_store_explicit(&log->count, count + 1, memory_order_release);
}

const struct history_entry *history_entries(const struct history *history, unsigned actor, unsigned *count)
{
    *count = atomic_load_explicit(&log_of(history, actor)->count, memory_order_acquire);
    return entries_of(history, actor);
}

unsigned history_count(const struct history *history, unsigned actor, enum history_kind kind)
{
    unsigned count, found = 0;
    const struct history_entry *entries = history_entries(history, actor, &count);

    for (unsigned i = 0; i < count; i++)
        found += entries[i].kind == (uint32_t)kind;
    return found;
}

struct message_head {
    uint64_t number;
    uint64_t sum; /* over number, sender, size and all bytes behind the head */
    uint32_t sender;
    uint32_t size;
};

_Static_assert(sizeof(struct message_head) == HISTORY_MESSAGE_MIN, "the head is the least message");

uint64_t history_sum(uint64_t state, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t word;

    for (; size >= sizeof word; bytes += sizeof word, size -= sizeof word) {
        memcpy(&word, bytes, sizeof word);
        state = (state ^ word) * 0xff51afd7ed558ccd;
        state ^= state >> 32;
    }
    while (size--)
        state = (state ^ *bytes++) * 0x100000001b3;
    return state;
}

static uint64_t sum_of(const struct message_head *head, const unsigned char *bytes, size_t size)
{
    return history_sum(head->number * 0x9e3779b97f4a7c15 ^ ((uint64_t)head->sender << 32 | head->size), bytes, size);
}

void history_message_make(void *message, size_t size, unsigned sender, uint64_t number)
{
    struct message_head head = {number, 0, sender, (uint32_t)size};
    unsigned char *bytes = message;

    CHECK(size >= sizeof head);
    for (size_t i = sizeof head; i < size; i++)
        bytes[i] = (unsigned char)(number * 31 + sender * 7 + i);
    head.sum = sum_of(&head, bytes + sizeof head, size - sizeof head);
    memcpy(message, &head, sizeof head);
}

bool history_message_head(const void *message, size_t size, unsigned *sender, uint64_t *number)
{
    struct message_head head;

    if (size < sizeof head)
        return false;
    memcpy(&head, message, sizeof head);
    *sender = head.sender;
    *number = head.number;
    return true;
}

bool history_message_read(const void *message, size_t size, unsigned *sender, uint64_t *number)
{
    const unsigned char *bytes = message;
    struct message_head head;

    if (size < sizeof head)
        return false;
    memcpy(&head, message, sizeof head);
    if (head.size != size || head.sum != sum_of(&head, bytes + sizeof head, size - sizeof head))
        return false;
    return history_message_head(message, size, sender, number);
}

void history_log_message(struct history *history, unsigned actor, const void *message, size_t size, bool again)
{
    unsigned sender = 0;
    uint64_t number = 0;

    if (!history_message_read(message, size, &sender, &number))
        history_log(history, actor, HISTORY_TORN, 0, size);
    else
        history_log(history, actor, again ? HISTORY_GOT_AGAIN : HISTORY_GOT, sender, number);
}
