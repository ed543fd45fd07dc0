/* SPDX-License-Identifier: MIT */
/* Seqlocks by themselves: a reader gets a copy of one state, or none. */
#include "base/seqlock.h"
#include "race.h"

struct record {
    shared_u64 gen, a, b;
};
struct copy {
    uint64_t a, b;
};

static struct record it;

static void write_fields(struct record *record, uint64_t n)
{
    store_relaxed(&record->a, n); /* G2 */
    store_relaxed(&record->b, ~n);
}

static void change(struct record *record, enum seqlock valid, uint64_t n)
{
    uint64_t gen = seqlock_begin(&record->gen, load_relaxed(&record->gen), valid);
    write_fields(record, n);
    seqlock_end(&record->gen, gen + 1);
}

static bool read_record(const struct record *record, enum seqlock valid, struct copy *copy)
{
    for (unsigned tries = 0; tries < SEQLOCK_TRIES; tries++) {
        uint64_t gen = seqlock_look(&record->gen);
        if (!seqlock_is_valid(gen, valid))
            return false;
        copy->a = peer_u64(&record->a);
        copy->b = peer_u64(&record->b);
        if (seqlock_holds(&record->gen, gen))
            return true;
    }
    return false;
}

/* A test body, for records that are valid at even and at odd generations. */
static void for_both(void (*body)(enum seqlock valid))
{
    for (enum seqlock valid = SEQLOCK_EVEN; valid <= SEQLOCK_ODD; valid++) {
        memset(&it, 0, sizeof it);
        store_relaxed(&it.gen, (uint64_t)valid);
        body(valid);
    }
}

/* ---- between begin and end ---- */

TEST_RUN_BY(for_both, there_is_no_copy_between_begin_and_end, enum seqlock valid)
{
    struct copy copy;
    change(&it, valid, 1);
    uint64_t gen = seqlock_begin(&it.gen, load_relaxed(&it.gen), valid);
    CHECK(!read_record(&it, valid, &copy));
    store_relaxed(&it.a, 2);
    CHECK(!read_record(&it, valid, &copy));
    store_relaxed(&it.b, ~UINT64_C(2));
    CHECK(!read_record(&it, valid, &copy));
    seqlock_end(&it.gen, gen + 1);
    CHECK(read_record(&it, valid, &copy));
    CHECK(copy.a == 2 && copy.b == ~UINT64_C(2));
}

TEST_RUN_BY(for_both, a_copy_that_a_change_overtook_does_not_hold, enum seqlock valid)
{
    uint64_t seen = seqlock_look(&it.gen);
    CHECK(seqlock_holds(&it.gen, seen));
    uint64_t gen = seqlock_begin(&it.gen, seen, valid);
    CHECK(!seqlock_holds(&it.gen, seen));
    seqlock_end(&it.gen, gen + 1);
    CHECK(!seqlock_holds(&it.gen, seen)); /* though the record is as valid as it was */
    CHECK(seqlock_is_valid(seqlock_look(&it.gen), valid));
}

TEST_THAT(a_zeroed_record_is_valid_or_nobodys_as_the_record_chose)
{
    struct copy copy;
    memset(&it, 0, sizeof it);
    CHECK(!read_record(&it, SEQLOCK_ODD, &copy));
    CHECK(read_record(&it, SEQLOCK_EVEN, &copy));
}

TEST_THAT(a_withdrawn_record_is_nobodys_until_it_is_written_again)
{
    struct copy copy;
    change(&it, SEQLOCK_ODD, 1);
    CHECK(read_record(&it, SEQLOCK_ODD, &copy));
    seqlock_begin(&it.gen, load_relaxed(&it.gen), SEQLOCK_ODD);
    CHECK(!read_record(&it, SEQLOCK_ODD, &copy));
    change(&it, SEQLOCK_ODD, 2);
    CHECK(read_record(&it, SEQLOCK_ODD, &copy));
    CHECK_INT(copy.a, 2);
}

/* ---- a writer that died from G1 to G3 ---- */

TEST_RUN_BY(for_both, what_a_writer_left_half_written_is_nobodys_until_the_next_writer_ends, enum seqlock valid)
{
    struct copy copy;
    uint64_t seen = seqlock_look(&it.gen);
    uint64_t left = seqlock_begin(&it.gen, seen, valid);
    store_relaxed(&it.a, 1);
    CHECK(!seqlock_is_valid(left, valid));
    CHECK(!read_record(&it, valid, &copy));

    uint64_t now = seqlock_begin(&it.gen, load_relaxed(&it.gen), valid);
    CHECK_INT(now, left); /* not valid before, not valid now */
    CHECK_INT(load_relaxed(&it.gen), left);
    CHECK(!read_record(&it, valid, &copy));
    write_fields(&it, 2);
    seqlock_end(&it.gen, now + 1);
    CHECK(read_record(&it, valid, &copy));
    CHECK(copy.a == 2 && copy.b == ~UINT64_C(2));
    CHECK(!seqlock_holds(&it.gen, seen)); /* nor has any reader from before a generation that comes again */
}

TEST_RUN_BY(for_both, generations_only_grow_by_one_for_each_half_of_a_change, enum seqlock valid)
{
    for (uint64_t n = 0; n < 10; n++) {
        uint64_t before = load_relaxed(&it.gen);
        if (n % 3 == 2) /* dies */
            seqlock_begin(&it.gen, before, valid);
        change(&it, valid, n);
        CHECK_INT(load_relaxed(&it.gen), before + 2);
    }
}

TEST_THAT(the_newest_of_two_records_is_one_that_is_valid)
{
    CHECK_INT(seqlock_newest(0, 0), -1);
    CHECK_INT(seqlock_newest(2, 4), -1);
    CHECK_INT(seqlock_newest(1, 0), 0);
    CHECK_INT(seqlock_newest(0, 1), 1);
    CHECK_INT(seqlock_newest(1, 4), 0); /* the second is being written */
    CHECK_INT(seqlock_newest(2, 1), 1);
    CHECK_INT(seqlock_newest(5, 3), 0);
    CHECK_INT(seqlock_newest(3, 5), 1);
}

TEST_THAT(a_death_while_one_of_two_records_is_written_loses_neither_the_other_nor_the_order)
{
    struct record two[2] = {0};
    struct copy copy;
    int newest = -1;
    for (uint64_t n = 1; n <= 8; n++) {
        struct record *older = &two[newest == 0]; /* the one to be written */
        uint64_t first = load_relaxed(&two[0].gen), second = load_relaxed(&two[1].gen);
        seqlock_begin(&older->gen, load_relaxed(&older->gen), SEQLOCK_ODD);
        CHECK_INT(seqlock_newest(load_relaxed(&two[0].gen), load_relaxed(&two[1].gen)), newest);
        write_fields(older, n);
        uint64_t next = (first > second ? first : second) + 1;
        seqlock_end(&older->gen, next | 1);
        newest = seqlock_newest(load_relaxed(&two[0].gen), load_relaxed(&two[1].gen));
        CHECK(&two[newest] == older);
        CHECK(read_record(&two[newest], SEQLOCK_ODD, &copy));
        CHECK_INT(copy.a, n);
    }
}

TEST_THAT(two_records_hold_only_if_both_do)
{
    struct record other = {.gen = 7};
    const uint64_t seen[2] = {3, 7};
    store_relaxed(&it.gen, 3);
    CHECK(seqlock_both_hold(&it.gen, &other.gen, seen));
    store_relaxed(&it.gen, 4);
    CHECK(!seqlock_both_hold(&it.gen, &other.gen, seen));
    store_relaxed(&it.gen, 3);
    store_relaxed(&other.gen, 8);
    CHECK(!seqlock_both_hold(&it.gen, &other.gen, seen));
}

TEST_THAT(two_copies_of_a_file_are_the_same_to_the_last_byte)
{
    unsigned char copy[24] = {1}, later[24] = {1};
    CHECK(seqlock_same(copy, later, sizeof copy));
    for (size_t i = 0; i < sizeof copy; i++) {
        later[i] ^= 0x80;
        CHECK(!seqlock_same(copy, later, sizeof copy));
        later[i] ^= 0x80;
    }
}

/* ---- at the same time ---- */

static _Atomic bool done;

static void *write_always(void *record)
{
    race_as(1);
    for (uint64_t n = 1; !atomic_load(&done); n++)
        change(record, SEQLOCK_EVEN, n);
    return NULL;
}

TEST_THAT(a_reader_never_sees_half_of_a_change_nor_an_older_state_than_before)
{
    enum { CHANGES_SEEN = 3000, COPIES = 20000 };
    pthread_t writer;
    struct copy copy;
    uint64_t last = 0, changes = 0, copies = 0;
    store_relaxed(&it.b, ~UINT64_C(0));
    CHECK_INT(pthread_create(&writer, NULL, write_always, &it), 0);
    race_as(0);
    while (changes < CHANGES_SEEN || copies < COPIES) {
        if (!read_record(&it, SEQLOCK_EVEN, &copy))
            continue;
        if (copy.b != ~copy.a)
            FAIL("torn: %llu and ~%llu", (unsigned long long)copy.a, (unsigned long long)~copy.b);
        CHECK(copy.a >= last);
        changes += copy.a > last;
        copies++;
        last = copy.a;
    }
    atomic_store(&done, true);
    CHECK_INT(pthread_join(writer, NULL), 0);
}

/* Each writes its own record, then looks for the other's: the n-th of each are the n-th round. */
enum { ROUNDS = 20000 };
static struct {
    _Alignas(CACHE_LINE) shared_u64 gen;
    _Alignas(CACHE_LINE) _Atomic uint64_t arrived;
} sides[2];
static bool saw[2][ROUNDS];

static void *meet(void *argument)
{
    size_t me = argument != NULL;
    race_as((unsigned)me);
    for (uint64_t n = 0; n < ROUNDS; n++) {
        uint64_t gen = seqlock_begin(&sides[me].gen, 2 * n, SEQLOCK_ODD);
        atomic_store(&sides[me].arrived, n + 1);
        for (unsigned polls = 1; atomic_load(&sides[!me].arrived) <= n; polls++)
            if (polls % 1000 == 0)
                sched_yield();
        seqlock_end_seq_cst(&sides[me].gen, gen + 1);
        uint64_t theirs = seqlock_look_seq_cst(&sides[!me].gen);
        saw[me][n] = theirs > 2 * n;
        store_relaxed(&sides[me].gen, gen + 2); /* withdrawn: even, and later than this round */
    }
    return NULL;
}

TEST_THAT(of_two_that_write_their_records_and_then_look_for_the_others_one_sees_the_other)
{
    pthread_t other;
    CHECK_INT(pthread_create(&other, NULL, meet, sides), 0);
    meet(NULL);
    CHECK_INT(pthread_join(other, NULL), 0);
    for (size_t n = 0; n < ROUNDS; n++)
        CHECK(saw[0][n] || saw[1][n]);
}
