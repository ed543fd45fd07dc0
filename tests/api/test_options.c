/* SPDX-License-Identifier: MIT */
/* Every option on every type of socket: sizes, ranges, who has it, when it may be set. */
#include "support/ends.h"

#define BIT(type) (1u << (type))
#define ALL       0x7ffu
#define NONE      0u

enum kind { INT, INT64, UINT64, BYTES, STRING, STATS };

struct option {
    int number;
    const char *name;
    enum kind kind;
    bool get, set;
    bool before;       /* EBUSY once bound or connected */
    unsigned has;      /* types that have it */
    unsigned may;      /* types for which the header says nothing */
    int64_t low, high; /* the range, for integers */
    int64_t initial;   /* initial value, for integers that can be read */
};

#define SENDERS_ROUTED (BIT(SHM_REQ) | BIT(SHM_DEALER) | BIT(SHM_ROUTER))
#define PUBS           (BIT(SHM_PUB) | BIT(SHM_XPUB))
#define SUBS           (BIT(SHM_SUB) | BIT(SHM_XSUB))
#define CONFLATERS     (BIT(SHM_PUB) | BIT(SHM_SUB) | BIT(SHM_PUSH) | BIT(SHM_PULL) | BIT(SHM_DEALER))
#define ANY            INT64_MIN /* no initial value is promised */

static const struct option options[] = {
#define O(name) SHM_##name, #name
    {O(ROUTING_ID), BYTES, true, true, true, SENDERS_ROUTED, BIT(SHM_REP), 0, 0, ANY},
    {O(SUBSCRIBE), BYTES, false, true, false, SUBS, NONE, 0, 0, ANY},
    {O(RCVMORE), INT, true, false, false, ALL, NONE, 0, 1, 0},
    {O(FD), INT, true, false, false, ALL, NONE, 0, 0, ANY},
    {O(EVENTS), INT, true, false, false, ALL, NONE, 0, 0, ANY},
    {O(TYPE), INT, true, false, false, ALL, NONE, 0, 0, ANY},
    {O(LINGER), INT, true, true, false, ALL, NONE, -1, INT32_MAX, -1},
    {O(SNDHWM), INT, true, true, true, ALL, NONE, 0, 1000000, 1000},
    {O(RCVHWM), INT, true, true, true, ALL, NONE, 0, 1000000, 1000},
    {O(RCVTIMEO), INT, true, true, false, ALL, NONE, -1, INT32_MAX, -1},
    {O(SNDTIMEO), INT, true, true, false, ALL, NONE, -1, INT32_MAX, -1},
    {O(LAST_ENDPOINT), STRING, true, false, false, ALL, NONE, 0, 0, ANY},
    {O(ROUTER_MANDATORY), INT, true, true, false, BIT(SHM_ROUTER), NONE, 0, 1, 0},
    {O(IMMEDIATE), INT, true, true, true, ALL, NONE, 0, 1, 0},
    {O(XPUB_VERBOSE), INT, true, true, false, BIT(SHM_XPUB), NONE, 0, 1, 0},
    {O(REQ_CORRELATE), INT, true, true, true, BIT(SHM_REQ), NONE, 0, 1, 0},
    {O(REQ_RELAXED), INT, true, true, false, BIT(SHM_REQ), NONE, 0, 1, 0},
    {O(CONFLATE), INT, true, true, true, CONFLATERS, BIT(SHM_XPUB) | BIT(SHM_XSUB), 0, 1, 0},
    {O(ROUTER_HANDOVER), INT, true, true, false, BIT(SHM_ROUTER), NONE, 0, 1, 0},
    {O(XPUB_NODROP), INT, true, true, true, BIT(SHM_XPUB), BIT(SHM_PUB), 0, 1, 0},
    {O(XPUB_VERBOSER), INT, true, true, false, BIT(SHM_XPUB), NONE, 0, 1, 0},
    {O(PROBE_ROUTER), INT, true, true, true, SENDERS_ROUTED, NONE, 0, 1, 0},
    {O(SPIN_NS), INT64, true, true, false, ALL, NONE, -2, INT64_MAX, -2},
    {O(LOSSLESS), INT, true, true, true, PUBS, NONE, 0, 1, 0},
    {O(HISTORY), INT, true, true, true, BIT(SHM_SUB), BIT(SHM_XSUB), 0, 1000, 0},
    {O(REDELIVER), INT, true, true, false, BIT(SHM_PULL), NONE, 0, 1, 1},
    {O(MEMORY_LIMIT), UINT64, true, true, false, ALL, NONE, 0, INT64_MAX, ANY},
    {O(LOST), UINT64, true, false, false, SUBS | BIT(SHM_PULL), ALL, 0, 0, 0},
    {O(STATS), STATS, true, false, false, ALL, NONE, 0, 0, ANY},
    {O(LOCK_MEMORY), INT, true, true, true, ALL, NONE, 0, 1, 0},
    {O(REQ_RESEND), INT, true, true, true, BIT(SHM_REQ), NONE, 0, 1, 0},
    {O(VIEW_SHARE), INT, true, true, true, PUBS, NONE, 0, 100, 50},
    {O(ROUND_ROBIN), INT, true, true, true, BIT(SHM_PUSH), NONE, 0, 1, 0},
#undef O
};

static const struct option *the_option;
static int the_type;

static void say_which(void)
{
    dprintf(STDERR_FILENO, "  (option SHM_%s on a socket of type %d)\n", the_option->name, the_type);
}

static size_t size_of(enum kind kind)
{
    return kind == INT ? sizeof(int) : kind == STATS ? sizeof(shm_stats_t) : sizeof(int64_t);
}

/* A value of either width lies at its beginning: this is for little-endian machines, as the library is. */
static int set(shm_socket_t *socket, const struct option *option, int64_t value)
{
    return shm_setsockopt(socket, option->number, &value, size_of(option->kind));
}

static int64_t get(shm_socket_t *socket, const struct option *option)
{
    int64_t value = 0x5555555555555555;
    size_t size = size_of(option->kind);

    CHECK_OK(shm_getsockopt(socket, option->number, &value, &size));
    CHECK_INT(size, size_of(option->kind));
    return option->kind == INT ? (int)value : value;
}

static bool is_integer(const struct option *option)
{
    return option->kind == INT || option->kind == INT64 || option->kind == UINT64;
}

typedef void check_fn(shm_socket_t *socket, const struct option *option);

/* Run CHECK on a new socket for every option, and every type that has it or, if not HAVING, lacks it. */
static void for_all(bool having, check_fn *check)
{
    for (size_t i = 0; i < COUNT_OF(options); i++)
        for (int type = SHM_PAIR; type <= SHM_XSUB; type++) {
            unsigned types = having ? options[i].has : ALL & ~(options[i].has | options[i].may);

            if (!(types & BIT(type)))
                continue;
            the_option = &options[i];
            the_type = type;
            on_fail(say_which);
            shm_socket_t *socket = CHECK_PTR(shm_socket(type));
            check(socket, &options[i]);
            CHECK_OK(shm_close(socket));
        }
    on_fail(NULL);
}

static void where_there_is_one(check_fn *check)
{
    for_all(true, check);
}

static void where_there_is_none(check_fn *check)
{
    for_all(false, check);
}

#define TEST_OPTIONS(run, sentence) TEST_RUN_BY(run, sentence, shm_socket_t *socket, const struct option *option)

/* ---- Refusals ---- */

TEST_OPTIONS(where_there_is_none, types_that_do_not_have_an_option_refuse_it)
{
    unsigned char value[256] = {1};
    size_t size = sizeof value;

    CHECK_ERR(shm_setsockopt(socket, option->number, value, size_of(option->kind)), EINVAL);
    CHECK_ERR(shm_getsockopt(socket, option->number, value, &size), EINVAL);
}

TEST_OPTIONS(where_there_is_one, options_to_read_cannot_be_written_nor_the_reverse)
{
    unsigned char value[512] = {1};
    size_t size = sizeof value;

    if (!option->set)
        CHECK_ERR(shm_setsockopt(socket, option->number, value, size_of(option->kind)), EINVAL);
    if (!option->get)
        CHECK_ERR(shm_getsockopt(socket, option->number, value, &size), EINVAL);
}

TEST_OPTIONS(where_there_is_one, values_of_the_wrong_size_are_refused)
{
    unsigned char value[512] = {0};
    size_t exact = size_of(option->kind), size;

    if (is_integer(option) && option->set) {
        CHECK_ERR(shm_setsockopt(socket, option->number, value, 0), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, option->number, value, exact - 1), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, option->number, value, exact + 1), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, option->number, NULL, exact), EINVAL);
    }
    if (option->get && (is_integer(option) || option->kind == STATS)) {
        size = exact - 1;
        CHECK_ERR(shm_getsockopt(socket, option->number, value, &size), EINVAL);
        size = sizeof value; /* more room is no mistake */
        CHECK_OK(shm_getsockopt(socket, option->number, value, &size));
        CHECK_INT(size, exact);
    }
}

TEST_OPTIONS(where_there_is_one, values_out_of_range_are_refused_and_change_nothing)
{
    if (!is_integer(option) || !option->set)
        return;
    int64_t before = get(socket, option);
    if (option->kind != UINT64) {
        CHECK_ERR(set(socket, option, option->low - 1), EINVAL);
        if (option->kind == INT)
            CHECK_ERR(set(socket, option, INT32_MIN), EINVAL);
    }
    if (option->number != SHM_HISTORY && option->high < INT32_MAX) {
        CHECK_ERR(set(socket, option, option->high + 1), EINVAL);
        CHECK_ERR(set(socket, option, INT32_MAX), EINVAL);
    }
    CHECK_INT(get(socket, option), before);
}

TEST_OPTIONS(where_there_is_one, early_options_are_busy_after_bind_and_the_others_are_not)
{
    if (!option->set || !is_integer(option))
        return;
    CHECK_OK(shm_bind(socket, "busy"));
    int64_t value = get(socket, option);
    if (!option->before) {
        CHECK_OK(set(socket, option, option->low + 1));
        return;
    }
    CHECK_ERR(set(socket, option, option->low + 1), EBUSY);
    CHECK_INT(get(socket, option), value);
}

TEST_OPTIONS(where_there_is_one, early_options_are_busy_after_connect)
{
    if (!option->before || !is_integer(option))
        return;
    CHECK_OK(shm_connect(socket, "busy"));
    CHECK_ERR(set(socket, option, option->low), EBUSY);
}

TEST_THAT(unknown_and_unsupported_options_are_refused)
{
    static const int unknown[] = {-1, 0, 1, 4, 12, 22, 999, 1012, 100000, INT32_MAX, INT32_MIN};

    for (int type = SHM_PAIR; type <= SHM_XSUB; type++) {
        shm_socket_t *socket = socket_new(type);
        int value = 0;
        size_t size = sizeof value;

        for (size_t i = 0; i < COUNT_OF(unknown); i++) {
            CHECK_ERR(shm_setsockopt(socket, unknown[i], &value, sizeof value), EINVAL);
            CHECK_ERR(shm_getsockopt(socket, unknown[i], &value, &size), EINVAL);
        }
        CHECK_ERR(shm_setsockopt(socket, SHM_XPUB_MANUAL, &value, sizeof value), EINVAL);
        CHECK_OK(shm_close(socket));
    }
}

TEST_THAT(unknown_types_of_socket_are_refused)
{
    static const int types[] = {-1, 11, 12, 100, INT32_MAX, INT32_MIN};

    for (size_t i = 0; i < COUNT_OF(types); i++)
        CHECK_NULL(shm_socket(types[i]), EINVAL);
}

static void check_routing_id(shm_socket_t *socket, const void *id, size_t id_size)
{
    unsigned char got[300];
    size_t size = sizeof got;

    CHECK_OK(shm_getsockopt(socket, SHM_ROUTING_ID, got, &size));
    CHECK_MEM(got, size, id, id_size);
}

TEST_THAT(routing_ids_have_1_to_255_bytes_and_no_leading_zero)
{
    static const int types[] = {SHM_REQ, SHM_DEALER, SHM_ROUTER};
    unsigned char id[300];

    memset(id, 'x', sizeof id);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        shm_socket_t *socket = socket_new(types[i]);
        size_t size = 254;

        CHECK_ERR(shm_setsockopt(socket, SHM_ROUTING_ID, id, 0), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, SHM_ROUTING_ID, id, 256), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, SHM_ROUTING_ID, "\0abc", 4), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, SHM_ROUTING_ID, NULL, 4), EINVAL);
        check_routing_id(socket, "", 0);
        CHECK_OK(shm_setsockopt(socket, SHM_ROUTING_ID, id, 255));
        check_routing_id(socket, id, 255);
        CHECK_ERR(shm_getsockopt(socket, SHM_ROUTING_ID, id, &size), EINVAL);
        CHECK_OK(shm_setsockopt(socket, SHM_ROUTING_ID, "a\0b", 3));
        check_routing_id(socket, "a\0b", 3);
        CHECK_OK(shm_bind(socket, "it"));
        CHECK_ERR(shm_setsockopt(socket, SHM_ROUTING_ID, "c", 1), EBUSY);
        CHECK_OK(shm_close(socket));
    }
}

/* ---- Values ---- */

TEST_OPTIONS(where_there_is_one, options_start_as_promised_and_keep_what_they_are_given)
{
    if (!is_integer(option))
        return;
    if (option->get && option->initial != ANY)
        CHECK_INT(get(socket, option), option->initial);
    if (option->number == SHM_TYPE)
        CHECK_INT(get(socket, option), the_type);
    if (!option->get || !option->set)
        return;
    const int64_t values[] = {option->high, option->low, option->low + 1, option->low};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        CHECK_OK(set(socket, option, values[i]));
        CHECK_INT(get(socket, option), values[i]);
    }
}

TEST_THAT(lossless_and_nodrop_are_one)
{
    shm_socket_t *socket = socket_new(SHM_XPUB);

    set_int(socket, SHM_XPUB_NODROP, 1);
    CHECK_INT(get_int(socket, SHM_LOSSLESS), 1);
    set_int(socket, SHM_LOSSLESS, 0);
    CHECK_INT(get_int(socket, SHM_XPUB_NODROP), 0);
    CHECK_OK(shm_close(socket));
}
