/* SPDX-License-Identifier: MIT */
/* Claims by themselves: several readers take messages of one ring; what the dead had in hand is adopted. */
#include "support/harness.h"
#include "transport/claims.h"
#include "transport/slot.h"
#include "transport/store.h"
#include "race.h"

#define ID "00112233445566778899aabbccddeeff"

enum { SLOTS = 8 };

/* Tickets near which the words' 46 bits, or all 64, wrap. */
static const uint64_t firsts[] = {0, (UINT64_C(1) << 46) - 4, (UINT64_C(1) << 62) - 4, UINT64_MAX - 3};

static struct store *store;
static struct claims sender, me, other;

static void open_claims(uint64_t slots)
{
    CHECK_OK(store_open(&store));
    CHECK_INT(claims_new(&sender, store, ID, slots), 0);
}

static void open_readers(void)
{
    open_claims(SLOTS);
    CHECK_INT(claims_attach(&me, store, ID, SLOTS), 0);
    CHECK_INT(claims_attach(&other, store, ID, SLOTS), 0);
}

static void close_claims(void)
{
    claims_detach(&me);
    claims_detach(&other);
    claims_detach(&sender);
    claims_unlink(store, ID);
    store_close(store);
}

static void with_readers(void (*body)(void))
{
    open_readers();
    body();
    close_claims();
}

static uint64_t word_of(uint64_t t)
{
    return load_relaxed(&sender.words[t % SLOTS]);
}

static bool take(struct claims *claims, uint64_t t)
{
    return claims_take(claims, t % SLOTS, peer_u64(&claims->words[t % SLOTS]), t);
}

static void finish(struct claims *claims, uint64_t t)
{
    claims_done(&claims->words[t % SLOTS], t, claims->owner);
}

/* ---- the file ---- */

TEST_THAT(a_file_that_is_not_there_or_not_what_was_said_is_refused)
{
    CHECK_OK(store_open(&store));
    CHECK_INT(claims_attach(&me, store, ID, SLOTS), -ENOENT);
    CHECK_INT(claims_new(&sender, store, ID, SLOTS), 0);
    CHECK_INT(claims_new(&other, store, ID, SLOTS), -EEXIST);
    CHECK_INT(claims_attach(&me, store, ID, 2 * SLOTS), -EPROTO);
    CHECK_INT(claims_attach(&me, store, ID, SLOTS / 2), -EPROTO);
    sender.header->magic++;
    CHECK_INT(claims_attach(&me, store, ID, SLOTS), -EPROTO);
    close_claims();
}

/* ---- take and done ---- */

TEST_RUN_BY(with_readers, what_is_taken_is_not_taken_again, void)
{
    uint64_t seen = word_of(3);
    CHECK(claims_take(&me, 3, seen, 3));
    uint64_t word = word_of(3);
    CHECK(claim_is_taken(word, 3));
    CHECK(!claims_take(&other, 3, seen, 3)); /* who looked before we took it */
    CHECK_INT(word_of(3), word);
    finish(&me, 3);
    CHECK(claim_is_taken(word_of(3), 3));
    CHECK(!claims_take(&other, 3, word, 3));
    CHECK_INT(claim_state(word_of(3)), CLAIM_DONE);
}

TEST_RUN_BY(with_readers, a_word_says_which_message_and_who_and_whether_it_is_done, void)
{
    CHECK_INT(word_of(5), 0);
    CHECK_INT(claim_state(word_of(5)), CLAIM_FREE);
    CHECK(!claim_is_taken(word_of(5), 5));
    CHECK(take(&other, 5));
    CHECK_INT(word_of(5), claim_word(5, CLAIM_CLAIMED, other.owner));
    CHECK(!claim_is_done(word_of(5), 5));
    finish(&other, 5);
    CHECK_INT(claim_ticket(word_of(5)), 5);
    CHECK_INT(claim_owner(word_of(5)), other.owner);
    CHECK(claim_is_done(word_of(5), 5));
}

TEST_RUN_BY(with_readers, the_next_laps_message_is_taken_from_one_that_is_done, void)
{
    for (size_t f = 0; f < COUNT_OF(firsts); f++) {
        for (size_t i = 0; i < SLOTS; i++)
            store_relaxed(&sender.words[i], 0);
        for (uint64_t n = 0; n < 3 * SLOTS; n++) {
            uint64_t t = firsts[f] + n;
            struct claims *reader = n % 3 == 0 ? &other : &me;
            CHECK(!claim_is_taken(word_of(t), t));
            CHECK(take(reader, t));
            CHECK(claim_is_taken(word_of(t), t));
            CHECK(claim_is_taken(word_of(t), t - SLOTS)); /* of a lap before: it must have been */
            CHECK(!claim_is_taken(word_of(t), t + SLOTS));
            finish(reader, t);
            CHECK(claim_is_done(word_of(t), t));
            CHECK(!claim_is_done(word_of(t), t + SLOTS));
        }
    }
}

enum { TICKETS = 20000 };
static _Atomic unsigned char times[TICKETS];
static pthread_barrier_t start;

static void *take_all(void *claims)
{
    race_as(claims == &other);
    pthread_barrier_wait(&start);
    for (uint64_t t = 0; t < TICKETS; t++)
        if (claims_take(claims, t, CLAIM_FREE, t))
            times[t]++;
    return NULL;
}

/* Both readers at once: each of that many tickets is to be one's. */
static void both(void *(*body)(void *claims), uint64_t tickets)
{
    pthread_t thread;
    CHECK_INT(pthread_barrier_init(&start, NULL, 2), 0);
    CHECK_INT(pthread_create(&thread, NULL, body, &other), 0);
    body(&me);
    CHECK_INT(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&start);
    for (uint64_t t = 0; t < tickets; t++)
        CHECK_INT(times[t], 1);
}

TEST_THAT(of_two_who_take_at_the_same_time_one_gets_it)
{
    open_claims(TICKETS);
    CHECK_INT(claims_attach(&me, store, ID, TICKETS), 0);
    CHECK_INT(claims_attach(&other, store, ID, TICKETS), 0);
    both(take_all, TICKETS);
    close_claims();
}

TEST_RUN_BY(with_readers, the_hint_rises_with_what_is_taken_and_never_falls, void)
{
    struct ring_in ring = {.claims = &me, .mask = SLOTS - 1}, late = {.claims = &other, .mask = SLOTS - 1};
    CHECK_INT(load_relaxed(&sender.header->hint), 0);
    CHECK(slot_claim(&ring, 0));
    CHECK_INT(load_relaxed(&sender.header->hint), 1);
    CHECK(slot_claim(&ring, 4));
    CHECK_INT(load_relaxed(&sender.header->hint), 5);
    CHECK(!slot_claim(&late, 4));
    CHECK(slot_claim(&late, 2));
    CHECK_INT(load_relaxed(&sender.header->hint), 5);
}

/* ---- owners ---- */

TEST_RUN_BY(with_readers, readers_have_numbers_of_their_own_and_the_sender_none, void)
{
    CHECK_INT(sender.owner, 0);
    CHECK(me.owner != 0 && other.owner != 0 && me.owner != other.owner);
    uint32_t left = me.owner;
    claims_detach(&me);
    CHECK_INT(claims_attach(&me, store, ID, SLOTS), 0);
    CHECK_INT(me.owner, left);
}

TEST_RUN_BY(with_readers, a_number_is_not_given_again_while_a_claim_names_it, void)
{
    uint32_t left = me.owner;
    CHECK(take(&me, 6));
    claims_detach(&me); /* as by death: the claim stays */
    CHECK_INT(claims_attach(&me, store, ID, SLOTS), 0);
    CHECK(me.owner != left && me.owner != other.owner);
    CHECK_INT(claims_adopt(&me), 6);
    claims_detach(&other);
    CHECK_INT(claims_attach(&other, store, ID, SLOTS), 0);
    CHECK_INT(other.owner, left); /* nothing names it any more */
}

TEST_THAT(who_names_all_numbers_keeps_readers_out_and_no_longer)
{
    open_claims(CLAIMS_OWNERS);
    for (uint32_t owner = 1; owner <= CLAIMS_OWNERS; owner++)
        store_relaxed(&sender.words[owner - 1], claim_word(owner - 1, CLAIM_CLAIMED, owner));
    CHECK_INT(claims_attach(&me, store, ID, CLAIMS_OWNERS), -EUSERS);
    claims_done(&sender.words[776], 776, 777);
    CHECK_INT(claims_attach(&me, store, ID, CLAIMS_OWNERS), 0);
    CHECK_INT(me.owner, 777);
    close_claims();
}

/* ---- adoption ---- */

static void take_some_and_wait(struct child *up, void *unused)
{
    struct claims mine;
    CHECK_INT(claims_attach(&mine, store, ID, SLOTS), 0);
    CHECK(take(&mine, 1) && take(&mine, 2) && take(&mine, 3));
    finish(&mine, 2);
    child_stay(up, mine.owner);
}

TEST_RUN_BY(with_readers, what_the_living_or_the_stopped_or_we_ourselves_have_in_hand_is_not_adopted, void)
{
    struct child child = child_start(take_some_and_wait, NULL);
    child_hear(&child);
    CHECK(take(&me, 0) && take(&other, 7));
    CHECK_INT(claims_adopt(&me), -1);
    child_stop(&child);
    CHECK_INT(claims_adopt(&me), -1);
    child_continue(&child);
    child_kill(&child);
}

TEST_RUN_BY(with_readers, what_a_killed_reader_had_in_hand_is_adopted_once_each_and_what_it_had_done_is_not, void)
{
    struct child child = child_start(take_some_and_wait, NULL);
    uint32_t dead = (uint32_t)child_hear(&child);
    child_kill(&child);
    CHECK_INT(word_of(1), claim_word(1, CLAIM_CLAIMED, dead));
    CHECK_INT(claims_adopt(&me), 1);
    CHECK_INT(word_of(1), claim_word(1, CLAIM_CLAIMED, me.owner));
    CHECK_INT(claims_adopt(&other), 3);
    CHECK_INT(claims_adopt(&me), -1);
    CHECK_INT(claims_adopt(&other), -1);
    CHECK_INT(word_of(2), claim_word(2, CLAIM_DONE, dead));
}

TEST_RUN_BY(with_readers, who_died_having_adopted_leaves_it_to_the_next, void)
{
    CHECK(take(&other, 4));
    claims_detach(&other);
    CHECK_INT(claims_adopt(&me), 4);
    CHECK_INT(claims_attach(&other, store, ID, SLOTS), 0);
    CHECK_INT(claims_adopt(&other), -1);
    claims_detach(&me);
    CHECK_INT(claims_adopt(&other), 4);
    CHECK_INT(claim_owner(word_of(4)), other.owner);
}

TEST_THAT(an_adopted_ticket_says_its_slot_and_word_beyond_its_46_bits_as_well)
{
    for (size_t f = 0; f < COUNT_OF(firsts); f++) {
        open_readers();
        for (uint64_t t = firsts[f] + 2; t != firsts[f] + 6; t++)
            CHECK(take(&other, t));
        claims_detach(&other);
        unsigned found = 0;
        for (uint64_t low; (low = claims_adopt(&me)) != UINT64_MAX; found++) {
            uint64_t t = firsts[f] + 2;
            while (t != firsts[f] + 6 && (t & (UINT64_MAX >> 18)) != low)
                t++;
            CHECK(t != firsts[f] + 6);
            CHECK_INT(low % SLOTS, t % SLOTS);
            CHECK_INT(word_of(low), claim_word(t, CLAIM_CLAIMED, me.owner));
        }
        CHECK_INT(found, 4);
        close_claims();
    }
}

TEST_RUN_BY(with_readers, a_claim_of_a_ticket_that_belongs_elsewhere_is_a_lie_and_not_adopted, void)
{
    store_relaxed(&sender.words[5], claim_word(6, CLAIM_CLAIMED, CLAIMS_OWNERS));
    CHECK_INT(claims_adopt(&me), -1);
    store_relaxed(&sender.words[5], claim_word(5 + SLOTS, CLAIM_CLAIMED, CLAIMS_OWNERS));
    CHECK_INT(claims_adopt(&me), 5 + SLOTS);
}

static void *adopt_all(void *claims)
{
    race_as(claims == &other);
    pthread_barrier_wait(&start);
    for (uint64_t t; (t = claims_adopt(claims)) != UINT64_MAX;)
        times[t]++;
    return NULL;
}

TEST_THAT(two_survivors_share_what_a_dead_one_had_in_hand)
{
    enum { MANY = 512 };
    struct claims dead;
    open_claims(MANY);
    CHECK_INT(claims_attach(&me, store, ID, MANY), 0);
    CHECK_INT(claims_attach(&other, store, ID, MANY), 0);
    CHECK_INT(claims_attach(&dead, store, ID, MANY), 0);
    for (uint64_t t = 0; t < MANY; t++)
        CHECK(claims_take(&dead, t, 0, t));
    claims_detach(&dead);
    both(adopt_all, MANY);
    close_claims();
}
