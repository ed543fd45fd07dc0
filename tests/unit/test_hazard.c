/* SPDX-License-Identifier: MIT */
/* Hazard words by themselves: a reader sets them, a sender asks for them before it uses a block again. */
#include <pthread.h>
#include <sched.h>

#include "support/harness.h"
#include "transport/hazard.h"

static struct segment_header header;
static struct hazards hazards = {.header = &header};

TEST_THAT(a_word_names_one_block_of_one_pipe)
{
    uint64_t word = hazard_word(3, 64 * 5);
    CHECK(word != 0);
    CHECK(word != hazard_word(4, 64 * 5));
    CHECK(word != hazard_word(3, 64 * 6));
    CHECK_INT(word >> 48, 3);
    uint64_t last = (UINT64_C(1) << 47) - 64; /* of the largest segment */
    CHECK_INT(hazard_word(1, last) >> 48, 1);
}

TEST_THAT(a_word_is_seen_until_it_is_cleared)
{
    uint64_t word = hazard_word(1, 4096);
    for (unsigned i = HAZARD_IN_HAND; i < SEGMENT_HAZARDS; i += 51) {
        CHECK(!hazards_has(&header, word));
        hazard_set(&hazards, i, word);
        CHECK(hazards_has(&header, word));
        CHECK(!hazards_has(&header, hazard_word(1, 8192)));
        hazard_clear(&hazards, i);
        CHECK(!hazards_has(&header, word));
    }
}

TEST_THAT(a_pipes_words_are_told_by_their_tag)
{
    hazard_set(&hazards, 7, hazard_word(2, 4096));
    hazard_set(&hazards, HAZARD_IN_HAND, hazard_word(3, 4096));
    CHECK(!hazards_any(&header, 1));
    CHECK(hazards_any(&header, 2));
    CHECK(hazards_any(&header, 3));
    hazard_clear(&hazards, 7);
    hazard_clear(&hazards, HAZARD_IN_HAND);
    CHECK(!hazards_any(&header, 2));
    CHECK(!hazards_any(&header, 3));
}

TEST_THAT(only_words_that_were_ever_set_are_looked_at)
{
    hazard_set(&hazards, 9, hazard_word(1, 64));
    hazard_clear(&hazards, 9);
    CHECK_INT(hazards_in_use(&header), 10);
    hazard_set(&hazards, 2, hazard_word(1, 64)); /* the number never falls */
    CHECK_INT(hazards_in_use(&header), 10);
}

TEST_THAT(a_lie_about_their_number_leads_no_further_than_the_words)
{
    store_relaxed(&header.hazards_used, UINT32_MAX);
    CHECK_INT(hazards_in_use(&header), SEGMENT_HAZARDS);
    CHECK(!hazards_has(&header, hazard_word(1, 64)));
}

/* ---- from word 0 to the view's, while a sender looks ---- */

enum { MOVES = 50000 };
static _Atomic int begun, looked;

static void await(const _Atomic int *count, int value)
{
    for (int polls = 1; atomic_load(count) < value; polls++)
        if (polls % 1000 == 0)
            sched_yield();
}

static void *move(void *unused)
{
    for (int n = 1; n <= MOVES; n++) {
        uint64_t word = hazard_word(1, (uint64_t)n * 64);
        unsigned view = HAZARD_IN_HAND + 1; /* far from word 0, were that the last to be looked at */
        hazard_set(&hazards, HAZARD_IN_HAND, word);
        atomic_store(&begun, n);
        for (int pauses = n % 16; pauses > 0; pauses--)
            cpu_pause();
        hazard_set(&hazards, view, word);
        hazard_clear(&hazards, HAZARD_IN_HAND);
        await(&looked, n);
        hazard_clear(&hazards, view);
    }
    return unused;
}

TEST_THAT(a_block_is_protected_at_each_moment_between_its_receipt_and_its_view)
{
    pthread_t mover;
    hazard_set(&hazards, SEGMENT_HAZARDS - 1, 0); /* all are looked at */
    CHECK_INT(pthread_create(&mover, NULL, move, NULL), 0);
    for (int n = 1; n <= MOVES; n++) {
        await(&begun, n);
        CHECK(hazards_has(&header, hazard_word(1, (uint64_t)n * 64)));
        atomic_store(&looked, n);
    }
    CHECK_INT(pthread_join(mover, NULL), 0);
}
