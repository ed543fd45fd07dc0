/* SPDX-License-Identifier: MIT */
/* Every pattern: messages of every size and number of parts, copied; and the counters. */
#include "support/short.h"

#define MIB ((size_t)1 << 20)

static void *memory_of(size_t size)
{
    return CHECK_PTR(malloc(size ? size : 1));
}

static void send_and_receive(struct end *left, struct end *right, size_t size, unsigned seed)
{
    unsigned char *sent = memory_of(size), *got = memory_of(size + 1);

    pattern_fill(sent, size, seed);
    got[size] = 0xee;
    CHECK_INT(end_send(left, sent, size, 0), size);
    CHECK_INT(end_recv(right, got, size, 0), size);
    CHECK_INT(get_int(right->socket, SHM_RCVMORE), 0);
    pattern_check(got, size, seed);
    CHECK_INT(got[size], 0xee);
    pipe_turn(left, right);
    free(sent);
    free(got);
}

/* ---- Cut ---- */

TEST_EACH_MET_PIPE(a_message_larger_than_the_buffer_is_cut_and_its_size_told, pipe, left, right)
{
    static const size_t sizes[] = {2, 31, 112, 113, 5000, 300000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t size = sizes[i], room = sizes[i] / 2;
        unsigned char *sent = memory_of(size), *got = memory_of(size);

        pattern_fill(sent, size, 1);
        memset(got, 0xee, size);
        CHECK_INT(end_send(left, sent, size, 0), size);
        CHECK_INT(end_recv(right, got, room, 0), size);
        pattern_check(got, room, 1);
        for (size_t k = room; k < size; k++)
            CHECK_INT(got[k], 0xee);
        pipe_turn(left, right);
        free(sent);
        free(got);
        send_and_receive(left, right, 10, 2); /* the rest does not come */
    }
}

TEST_EACH_MET_PIPE(a_part_that_is_cut_keeps_the_other_parts_whole, pipe, left, right)
{
    char got[8];

    CHECK_INT(end_send(left, "0123456789", 10, SHM_SNDMORE), 10);
    end_send_text(left, "tail");
    CHECK_INT(end_recv(right, got, 3, 0), 10);
    CHECK_MEM(got, 3, "012", 3);
    CHECK_INT(get_int(right->socket, SHM_RCVMORE), 1);
    expect_part(right->socket, "tail", false);
    pipe_turn(left, right);
}

/* ---- Sizes ---- */

TEST_EACH_MET_PIPE(messages_of_every_size_arrive_whole, pipe, left, right)
{
    static const size_t sizes[] = {0,   1,   7,   8,    15,   16,   31,    32,    33,      111,
                                   112, 113, 127, 128,  4095, 4096, 4097,  65535, 65536,   MIB,
                                   0,   MIB, 1,   3000, 112,  113,  65537, 32,    3 * MIB, 0};

    for (unsigned i = 0; i < COUNT_OF(sizes); i++)
        send_and_receive(left, right, sizes[i], i);
}

TEST_EACH_MET_PIPE(a_message_of_64_mib_arrives_whole, pipe, left, right)
{
    send_and_receive(left, right, 64 * MIB, 5);
    send_and_receive(left, right, 3, 6);
}

TEST_EACH_MET_PIPE(null_may_be_sent_and_received_as_nothing, pipe, left, right)
{
    CHECK_INT(end_send(left, NULL, 0, 0), 0);
    CHECK_INT(end_recv(right, NULL, 0, 0), 0);
    pipe_turn(left, right);
}

/* Random sizes, one message at a time, to reach every path of the arena. */
TEST_EACH_MET_PIPE(a_thousand_random_sizes_arrive_whole, pipe, left, right)
{
    uint64_t state = test_seed();

    for (unsigned i = 0; i < 1000; i++) {
        unsigned bits = (unsigned)(random_next(&state) % 18);

        send_and_receive(left, right, random_next(&state) & ((1u << bits) - 1), i);
    }
}

/* Many in flight at once, in order, while the arena allocates and frees. */
TEST_MET_PIPES(pair_has_no_turns, 0, bursts_of_random_sizes_arrive_in_order, pipe, left, right)
{
    uint64_t state = test_seed();
    unsigned char *bytes = memory_of(20000);
    size_t sizes[64];

    for (unsigned round = 0; round < 50; round++) {
        unsigned count = 1 + (unsigned)(random_next(&state) % COUNT_OF(sizes));

        for (unsigned i = 0; i < count; i++) {
            sizes[i] = random_next(&state) % 20000;
            pattern_fill(bytes, sizes[i], round + i);
            CHECK_INT(end_send(left, bytes, sizes[i], 0), sizes[i]);
        }
        for (unsigned i = 0; i < count; i++) {
            CHECK_INT(end_recv(right, bytes, 20000, 0), sizes[i]);
            pattern_check(bytes, sizes[i], round + i);
        }
    }
    free(bytes);
}

/* ---- Parts ---- */

static size_t size_of_part(unsigned part)
{
    static const size_t sizes[] = {0, 5, 112, 113, 700, 1, 32};

    return sizes[part % COUNT_OF(sizes)];
}

static void send_sized_parts(struct end *left, unsigned count)
{
    unsigned char bytes[1024];

    for (unsigned i = 0; i < count; i++) {
        pattern_fill(bytes, size_of_part(i), count + i);
        CHECK_INT(end_send(left, bytes, size_of_part(i), i + 1 < count ? SHM_SNDMORE : 0),
                  size_of_part(i));
    }
}

static void receive_sized_parts(struct end *right, unsigned count)
{
    unsigned char bytes[1024];

    for (unsigned i = 0; i < count; i++) {
        ssize_t n = i ? shm_recv(right->socket, bytes, sizeof bytes, 0)
                      : end_recv(right, bytes, sizeof bytes, 0);

        CHECK_INT(n, size_of_part(i));
        pattern_check(bytes, (size_t)n, count + i);
        CHECK_INT(get_int(right->socket, SHM_RCVMORE), i + 1 < count);
    }
}

TEST_EACH_MET_PIPE(messages_of_many_parts_arrive_whole, pipe, left, right)
{
    static const unsigned counts[] = {1, 2, 3, 5, 16, 64, 255, 1000, 1};

    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        send_sized_parts(left, counts[i]);
        receive_sized_parts(right, counts[i]);
        pipe_turn(left, right);
    }
}

/* Nothing can be received before the last part is sent. */
TEST_EACH_MET_PIPE(parts_arrive_together_or_not_at_all, pipe, left, right)
{
    for (int i = 0; i < 20; i++)
        CHECK_INT(end_send(left, "part", 4, SHM_SNDMORE), 4);
    CHECK_ERR(end_recv_byte(right, SHM_DONTWAIT), EAGAIN);
    CHECK_INT(get_int(right->socket, SHM_EVENTS) & SHM_POLLIN, 0);
    end_send_text(left, "last");
    CHECK_INT(get_int(right->socket, SHM_EVENTS) & SHM_POLLIN, SHM_POLLIN);
    CHECK_INT(end_recv_byte(right, SHM_DONTWAIT), 4);
    for (int i = 0; i < 20; i++)
        CHECK_INT(recv_byte(right->socket, SHM_DONTWAIT), 4);
    CHECK_INT(get_int(right->socket, SHM_RCVMORE), 0);
    pipe_turn(left, right);
}

TEST_MET_PIPES(pair_waits, 4, the_mark_counts_messages_not_parts, pipe, left, right)
{
    for (int i = 0; i < 4; i++)
        send_sized_parts(left, 50);
    CHECK_ERR(end_send(left, "x", 1, SHM_DONTWAIT), EAGAIN);
    for (int i = 0; i < 4; i++) {
        receive_sized_parts(right, 50);
        end_give_turn(right);
    }
}

/* ---- Several senders ---- */

static bool right_hears_several(const struct pair *pair)
{
    return !pair->turns && pair->left != SHM_PAIR && pair->left != SHM_ROUTER;
}

TEST_PIPES(right_hears_several, senders_are_heard_fairly_and_each_in_order, pipe)
{
    enum { SENDERS = 5, EACH = 100 };
    struct end right, lefts[SENDERS];
    unsigned heard[SENDERS] = {0};

    if (!pipe->right_binds)
        return;
    end_start(&right, pipe, false, "it");
    for (unsigned i = 0; i < SENDERS; i++) {
        end_start(&lefts[i], pipe, true, "it");
        pipe_meet(&lefts[i], &right);
        for (unsigned n = i * EACH; n < (i + 1) * EACH; n++)
            CHECK_INT(end_send(&lefts[i], &n, sizeof n, 0), sizeof n);
    }
    for (unsigned k = 1, got; k <= SENDERS * EACH; k++) {
        CHECK_INT(end_recv(&right, &got, sizeof got, SHM_DONTWAIT), sizeof got);
        CHECK_INT(got % EACH, heard[got / EACH]++);
        for (unsigned i = 0; k == SENDERS * EACH / 2 && i < SENDERS; i++)
            CHECK(heard[i] >= 30 && heard[i] <= 70); /* halfway through none is far ahead */
    }
    CHECK_ERR(end_recv_byte(&right, SHM_DONTWAIT), EAGAIN);
    for (unsigned i = 0; i < SENDERS; i++)
        end_close(&lefts[i]);
    end_close(&right);
}

/* ---- Counters ---- */

static bool adds_nothing(const struct pair *pair)
{
    return !pair->turns && pair->left != SHM_ROUTER && pair->right != SHM_ROUTER;
}

TEST_EACH_MET_PIPE(the_counters_are_exact, pipe, left, right)
{
    shm_stats_t before, right_before, l, r;
    char bytes[500] = {0};

    before = get_stats(left->socket);
    right_before = get_stats(right->socket); /* an XSUB may have sent its subscription */
    CHECK_INT(before.sent, 0);
    CHECK_INT(before.peers, 1);
    for (size_t i = 1; i <= 100; i++) {
        CHECK_INT(end_send(left, bytes, i, SHM_SNDMORE), i);
        CHECK_INT(end_send(left, bytes, 4 * i, 0), 4 * i);
        CHECK_INT(get_stats(left->socket).sent, i);
        CHECK_INT(get_stats(right->socket).received, i - 1);
        CHECK_INT(end_recv(right, bytes, sizeof bytes, 0), i);
        CHECK_INT(shm_recv(right->socket, bytes, 3, 0), 4 * i);
        CHECK_INT(get_stats(right->socket).received, i);
        pipe_turn(left, right);
    }
    l = get_stats(left->socket);
    r = get_stats(right->socket);
    CHECK_INT(l.sent, 100);
    CHECK_INT(r.received, 100);
    CHECK_INT(l.received, before.received + (pipe->pair->turns ? 100u : 0u));
    CHECK_INT(r.sent - right_before.sent, pipe->pair->turns ? 100 : 0);
    CHECK_INT(l.dropped + l.lost + l.protocol_errors + l.redelivered, 0);
    CHECK_INT(r.dropped + r.lost + r.protocol_errors + r.redelivered, 0);
    CHECK_INT(r.peers, 1);
    CHECK(l.memory > 0);
    if (adds_nothing(pipe->pair)) {
        CHECK_INT(l.bytes_sent, 5 * 5050);
        CHECK_INT(r.bytes_received - right_before.bytes_received, 5 * 5050);
    } else {
        CHECK(l.bytes_sent >= 5 * 5050);
        CHECK(r.bytes_received >= 5 * 5050);
    }
}

TEST_EACH_MET_PIPE(failed_calls_are_not_counted, pipe, left, right)
{
    for (int i = 0; i < 5; i++) {
        CHECK_ERR(end_recv_byte(right, SHM_DONTWAIT), EAGAIN);
        CHECK_ERR(shm_send(left->socket, NULL, 7, 0), EINVAL);
    }
    CHECK_INT(end_send(left, "part", 4, SHM_SNDMORE), 4);
    CHECK_INT(get_stats(left->socket).sent, 0); /* not yet */
    end_send_text(left, "last");
    CHECK_INT(get_stats(left->socket).sent, 1);
    CHECK_INT(get_stats(right->socket).received, 0);
}

/* Memory is reused: what is allocated does not grow with what is sent. */
TEST_EACH_MET_PIPE(memory_does_not_grow_with_traffic, pipe, left, right)
{
    uint64_t memory = 0;

    for (unsigned i = 0; i < 6000; i++) {
        send_and_receive(left, right, 1 + i % 100 * 80, i);
        if (i == 3000) /* after one lap of the ring nothing new is allocated */
            memory = get_stats(left->socket).memory + get_stats(right->socket).memory;
    }
    CHECK_INT(get_stats(left->socket).memory + get_stats(right->socket).memory, memory);
}
