/* SPDX-License-Identifier: MIT */
#include "patterns/prefixes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare(const struct prefix *p, const void *bytes, size_t size)
{
    size_t common = p->size < size ? p->size : size;
    int order = common > 0 ? memcmp(p->bytes, bytes, common) : 0;
    return order != 0 ? order : (p->size > size) - (p->size < size);
}

/* The index where it is, or would be inserted. */
static size_t find(const struct prefixes *set, const void *bytes, size_t size, bool *found)
{
    size_t low = 0, high = set->count;
    *found = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(&set->sorted[middle], bytes, size);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* There are at most as many lengths as prefixes, so `lengths` has the capacity of `sorted`. */
static void relearn_lengths(struct prefixes *set)
{
    set->length_count = 0;
    for (size_t i = 0; i < set->count; i++) {
        size_t size = set->sorted[i].size, at = 0;
        while (at < set->length_count && set->lengths[at] < size)
            at++;
        if (at < set->length_count && set->lengths[at] == size)
            continue;
        memmove(&set->lengths[at + 1], &set->lengths[at], (set->length_count - at) * sizeof(size_t));
        set->lengths[at] = size;
        set->length_count++;
    }
}

static int grow(struct prefixes *set)
{
    if (set->count < set->capacity)
        return 0;
    size_t capacity = set->capacity ? 2 * set->capacity : 8;
    struct prefix *sorted = realloc(set->sorted, capacity * sizeof *sorted);
    if (sorted == NULL)
        return -ENOMEM;
    set->sorted = sorted;
    size_t *lengths = realloc(set->lengths, capacity * sizeof *lengths);
    if (lengths == NULL)
        return -ENOMEM;
    set->lengths = lengths;
    set->capacity = capacity;
    return 0;
}

int prefixes_add(struct prefixes *set, const void *bytes, size_t size)
{
    bool found;
    size_t at = find(set, bytes, size, &found);
    if (found) {
        set->sorted[at].count++;
        return 0;
    }
    unsigned char *copy = malloc(size + 1);
    if (copy == NULL || grow(set) < 0) {
        free(copy);
        return -ENOMEM;
    }
    if (size > 0)
        memcpy(copy, bytes, size);
    memmove(&set->sorted[at + 1], &set->sorted[at], (set->count - at) * sizeof *set->sorted);
    set->sorted[at] = (struct prefix){copy, size, 1};
    set->count++;
    relearn_lengths(set);
    return 1;
}

int prefixes_remove(struct prefixes *set, const void *bytes, size_t size)
{
    bool found;
    size_t at = find(set, bytes, size, &found);
    if (!found)
        return -ENOENT;
    if (--set->sorted[at].count > 0)
        return 0;
    free(set->sorted[at].bytes);
    set->count--;
    memmove(&set->sorted[at], &set->sorted[at + 1], (set->count - at) * sizeof *set->sorted);
    relearn_lengths(set);
    return 1;
}

bool prefixes_match(const struct prefixes *set, const void *topic, size_t size)
{
    bool found = false;
    for (size_t i = 0; i < set->length_count && set->lengths[i] <= size && !found; i++)
        find(set, topic, set->lengths[i], &found);
    return found;
}

void prefixes_deinit(struct prefixes *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->sorted[i].bytes);
    free(set->sorted);
    free(set->lengths);
    memset(set, 0, sizeof *set);
}
