/* SPDX-License-Identifier: MIT */
/* Options: one table gives the field, range, kinds and time of setting of each. */
#include <limits.h>
#include <string.h>

#include "core/api.h"
#include "core/memory.h"
#include "core/session.h"
#include "core/tx.h"

#define FIELD(name) offsetof(struct options, name)

/* Options of all kinds, or only of those kinds whose `options` list them. */
static const struct core_option {
    struct int_option option;
    bool is_common;
} core_options[] = {
    {{SHM_LINGER, FIELD(linger), -1, INT_MAX, false}, true},
    {{SHM_SNDHWM, FIELD(send_hwm), 0, 1000000, true}, true},
    {{SHM_RCVHWM, FIELD(receive_hwm), 0, 1000000, true}, true},
    {{SHM_SNDTIMEO, FIELD(send_timeout), -1, INT_MAX, false}, true},
    {{SHM_RCVTIMEO, FIELD(receive_timeout), -1, INT_MAX, false}, true},
    {{SHM_IMMEDIATE, FIELD(immediate), 0, 1, true}, true},
    {{SHM_LOCK_MEMORY, FIELD(lock_memory), 0, 1, true}, true},
    {{SHM_AUTH_SEAL, FIELD(seal), 0, 1, true}, true},
    {{SHM_XPUB_NODROP, FIELD(lossless), 0, 1, true}, false},
    {{SHM_LOSSLESS, FIELD(lossless), 0, 1, true}, false},
    {{SHM_PROBE_ROUTER, FIELD(probe_router), 0, 1, true}, false},
    {{SHM_CONFLATE, FIELD(conflate), 0, 1, true}, false},
    {{SHM_HISTORY, FIELD(history), 0, 1000000, true}, false},
    {{SHM_REDELIVER, FIELD(redeliver), 0, 1, false}, false},
    {{SHM_VIEW_SHARE, FIELD(view_share), 0, 100, true}, false},
    {{SHM_ROUND_ROBIN, FIELD(round_robin), 0, 1, true}, false},
};

static bool kind_takes(const struct kind *kind, int option)
{
    for (const int *o = kind->options; o != NULL && *o != 0; o++)
        if (*o == option)
            return true;
    return false;
}

/* Find an int option by its number, and the FIELD that has its value. NULL: S has no such option. */
static const struct int_option *find_int(struct shm_socket *s, int option, char **field)
{
    for (size_t i = 0; i < sizeof core_options / sizeof core_options[0]; i++) {
        const struct int_option *o = &core_options[i].option;
        if (o->option != option || !(core_options[i].is_common || kind_takes(s->kind, option)))
            continue;
        *field = (char *)&s->options + o->field;
        return o;
    }
    for (const struct int_option *o = s->kind->own_options; o != NULL && o->option != 0; o++)
        if (o->option == option) {
            *field = (char *)s->kind_data + o->field;
            return o;
        }
    return NULL;
}

static bool has_membership(const struct shm_socket *s)
{
    return s->memberships != NULL || s->tx.has_shared || s->pipes.count > 0;
}

static int set_int(struct shm_socket *s, const struct int_option *o, char *field, const void *value, size_t size)
{
    int number;
    if (size != sizeof number)
        return -EINVAL;
    memcpy(&number, value, sizeof number);
    if (number < o->min || number > o->max)
        return -EINVAL;
    if (o->before && has_membership(s))
        return -EBUSY;
    memcpy(field, &number, sizeof number);
    return 0;
}

static int set_routing_id(struct shm_socket *s, const void *value, size_t size)
{
    if (size < 1 || size > 255 || *(const char *)value == 0 || !kind_takes(s->kind, SHM_ROUTING_ID))
        return -EINVAL;
    if (has_membership(s))
        return -EBUSY;
    memcpy(s->identity.routing_id, value, size);
    s->identity.routing_id_size = (uint32_t)size;
    memcpy(s->segment.header->routing_id, value, size);
    s->segment.header->routing_id_size = (uint32_t)size;
    return 0;
}

static int set_auth_key(struct shm_socket *s, const void *value, size_t size)
{
    int error = session_available();
    if (error < 0)
        return error;
    if (size != AUTH_KEY_SIZE)
        return -EINVAL;
    return has_membership(s) ? -EBUSY : session_set_key(s, value);
}

static int set(struct shm_socket *s, int option, const void *value, size_t size)
{
    int64_t ns;
    char *field;
    const struct int_option *o = find_int(s, option, &field);
    if (option == SHM_AUTH_SEAL && session_available() < 0)
        return -ENOTSUP;
    if (o != NULL)
        return set_int(s, o, field, value, size);
    switch (option) {
    case SHM_ROUTING_ID:
        return set_routing_id(s, value, size);
    case SHM_SPIN_NS:
        if (size != sizeof ns)
            return -EINVAL;
        memcpy(&ns, value, sizeof ns);
        if (ns < -2)
            return -EINVAL;
        s->options.spin_ns = ns;
        return 0;
    case SHM_MEMORY_LIMIT:
        if (size != sizeof s->options.memory_limit)
            return -EINVAL;
        memcpy(&s->options.memory_limit, value, size);
        s->arena.limit = s->options.memory_limit != 0 ? s->options.memory_limit : memory_default_limit(s);
        tx_share_memory(s);
        return 0;
    case SHM_AUTH_KEY:
        return set_auth_key(s, value, size);
    default:
        return s->kind->set_option != NULL ? s->kind->set_option(s, option, value, size) : -EINVAL;
    }
}

SHM_API int shm_setsockopt(shm_socket_t *s, int option, const void *value, size_t size)
{
    if (value == NULL && size > 0)
        return api_result(-EINVAL);
    if (api_usable(s) < 0)
        return -1;
    membership_look(s);
    fast_forget(s);
    return api_result(value == NULL && option != SHM_SUBSCRIBE && option != SHM_UNSUBSCRIBE
                         ? -EINVAL
                         : set(s, option, value, size));
}

/* ---- getting ---- */

static int give(void *value, size_t *size, const void *from, size_t length)
{
    if (*size < length)
        return -EINVAL;
    memcpy(value, from, length);
    *size = length;
    return 0;
}

static int give_int(void *value, size_t *size, int number)
{
    return give(value, size, &number, sizeof number);
}

static int get_events(struct shm_socket *s)
{
    int events = socket_events(s, SHM_POLLIN | SHM_POLLOUT);
    if (s->wait.descriptor.fd >= 0 && !(events & SHM_POLLIN)) {
        s->tx.refused = !(events & SHM_POLLOUT);
        socket_fd_rearm(s);
        events = socket_events(s, SHM_POLLIN | SHM_POLLOUT);
    }
    return events;
}

static int get_stats(struct shm_socket *s, void *value, size_t *size)
{
    uint64_t words[STAT_COUNT];
    _Static_assert(sizeof words == sizeof(shm_stats_t), "the same counters in the same order");
    for (int i = 0; i < STAT_COUNT; i++)
        words[i] = load_relaxed(&s->stats[i]);
    return give(value, size, words, sizeof words);
}

static int get(struct shm_socket *s, int option, void *value, size_t *size)
{
    char *field;
    const struct int_option *o = find_int(s, option, &field);
    uint64_t lost;
    int number;

    if (option == SHM_AUTH_SEAL && session_available() < 0)
        return -ENOTSUP;
    if (o != NULL) {
        memcpy(&number, field, sizeof number);
        return give_int(value, size, number);
    }
    switch (option) {
    case SHM_ROUTING_ID:
        if (!kind_takes(s->kind, SHM_ROUTING_ID))
            return -EINVAL;
        return give(value, size, s->segment.header->routing_id, s->segment.header->routing_id_size);
    case SHM_RCVMORE:
        return give_int(value, size, s->rx.last_more);
    case SHM_FD:
        if (*size < sizeof number)
            return -EINVAL;
        number = descriptor_open(&s->wait);
        return number < 0 ? number : give_int(value, size, number);
    case SHM_EVENTS:
        return give_int(value, size, get_events(s));
    case SHM_TYPE:
        return give_int(value, size, s->type);
    case SHM_LAST_ENDPOINT:
        return give(value, size, s->identity.last_endpoint, strlen(s->identity.last_endpoint) + 1);
    case SHM_SPIN_NS:
        return give(value, size, &s->options.spin_ns, sizeof s->options.spin_ns);
    case SHM_MEMORY_LIMIT:
        return give(value, size, &s->options.memory_limit, sizeof s->options.memory_limit);
    case SHM_LOST:
        lost = load_relaxed(&s->stats[STAT_LOST]);
        return give(value, size, &lost, sizeof lost);
    case SHM_STATS:
        return get_stats(s, value, size);
    case SHM_AUTH_KEY: /* write-only */
        return session_available() < 0 ? -ENOTSUP : -EINVAL;
    default:
        return -EINVAL;
    }
}

SHM_API int shm_getsockopt(shm_socket_t *s, int option, void *value, size_t *size)
{
    if (value == NULL || size == NULL)
        return api_result(-EINVAL);
    if (api_usable(s) < 0)
        return -1;
    membership_look(s);
    s->wait.ops->idle(&s->wait); /* a caller may do nothing but ask */
    return api_result(get(s, option, value, size));
}
