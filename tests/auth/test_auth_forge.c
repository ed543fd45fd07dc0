/* SPDX-License-Identifier: MIT */
/*
 * An attacker who may write the runtime directory but has no key changes, moves and truncates messages in a sender's
 * segment, claims of a PUSH, and proofs. Where it says anything, each attack is first seen to work without a key.
 */
#include "attacker.h"
#include "support/keys.h"
#include "support/short.h"

#include <dirent.h>

#include "transport/claims.h"

/* ---- One message ---- */

enum attack { FLIP_FIRST, FLIP_TAG, CUT, GROW, RENUMBER, REPACK, IN_PLAIN, SPLICE, NOWHERE, ATTACKS };

struct forgery {
    enum attack attack;
    int type;
};

static void forge(struct child *up, void *argument)
{
    const struct forgery *forgery = argument;
    struct file file;
    struct ring_header *ring = ring_find(forgery->type, &file);
    struct ring_slot *slot = slot_of(ring, ring->head - 1), *before = slot_of(ring, ring->head - 2);
    bool block = (slot->meta & META_BLOCK) != 0;
    unsigned char *bytes = block ? file.bytes + slot->payload[0] : (unsigned char *)slot->payload;
    size_t size = block ? slot->payload[1] : meta_length(slot->meta);

    switch (forgery->attack) {
    case FLIP_FIRST:
        bytes[size > 40 ? 20 : 0] ^= 1; /* in a larger message, past the envelope */
        break;
    case FLIP_TAG:
        bytes[size - 1] ^= 0x80;
        break;
    case CUT:
        if (block)
            slot->payload[1]--;
        else
            slot->meta--;
        break;
    case GROW:
        if (block)
            slot->payload[1]++;
        else
            slot->meta++;
        break;
    case RENUMBER:
        slot->meta ^= UINT64_C(1) << 40;
        break;
    case REPACK:
        slot->meta ^= META_PACKED;
        break;
    case IN_PLAIN:
        slot->meta = 6;
        memcpy((void *)slot->payload, "forged", 6);
        break;
    case SPLICE:
        if (ring->head >= 2) {
            slot->meta = before->meta;
            memcpy((void *)slot->payload, (void *)before->payload, SLOT_PAYLOAD);
        } else {
            bytes[0] ^= 1;
        }
        break;
    case NOWHERE:
        slot->meta = (slot->meta | META_BLOCK);
        slot->payload[0] = UINT64_C(1) << 40;
        slot->payload[1] = UINT64_C(1) << 41;
        break;
    case ATTACKS:
        break;
    }
    file_unmap(&file);
}

static void attack(enum attack how, int type)
{
    struct forgery forgery = {how, type};
    child_run(forge, &forgery);
}

static void start(struct end *left, struct end *right, const struct pipe *pipe, enum key_mode mode)
{
    end_open(left, pipe, true);
    end_open(right, pipe, false);
    set_mode(left->socket, mode);
    set_mode(right->socket, mode);
    if (left->type == SHM_REQ)
        set_int(left->socket, SHM_REQ_RELAXED, 1);
    pipe_attach(left, right, pipe);
    pipe_transfer(left, right, "first");
}

static void attack_all(const struct pipe *pipe, enum key_mode mode, size_t size)
{
    char *sent = CHECK_PTR(calloc(1, size)), *got = CHECK_PTR(malloc(size));
    struct end left, right;
    unsigned failed = 0;

    start(&left, &right, pipe, mode);
    for (enum attack how = FLIP_FIRST; how < ATTACKS; how++) {
        CHECK_INT(end_send(&left, sent, size, 0), size);
        attack(how, left.type);
        CHECK_ERR(end_recv(&right, got, size, 0), EBADMSG);
        CHECK_INT(get_stats(right.socket).auth_failed, ++failed);
        if (left.type == SHM_ROUTER)
            left.envelope_sent = false;
        if (left.type != SHM_REQ)
            CHECK_ERR(shm_recv(right.socket, got, size, SHM_DONTWAIT), EAGAIN);
        pipe_transfer(&left, &right, "the next one comes through");
    }
    CHECK_INT(get_stats(right.socket).protocol_errors, 0);
    CHECK_INT(get_stats(left.socket).auth_failed, 0);
    pipe_close(&left, &right);
    free(sent);
    free(got);
}

TEST_EACH_PIPE(forged_cut_and_spliced_messages_are_thrown_away, pipe)
{
    for (enum key_mode mode = AUTHENTICATED; mode <= SEALED; mode++) {
        attack_all(pipe, mode, 20);
        attack_all(pipe, mode, 5000);
    }
}

TEST_THAT(forging_works_without_a_key)
{
    struct pipe pipe = {pair_named("PAIR/PAIR"), true};
    struct end left, right;

    start(&left, &right, &pipe, 0);
    end_send_text(&left, "what?");
    attack(IN_PLAIN, SHM_PAIR);
    end_expect_text(&right, "forged");
    end_pass_text(&left, &right, "order 1");
    end_send_text(&left, "order 2");
    attack(SPLICE, SHM_PAIR);
    end_expect_text(&right, "order 1");
    pipe_close(&left, &right);
}

/* ---- A job that was done ---- */

static void hand_out_again(struct child *up, void *argument)
{
    uint64_t *ticket = argument;
    DIR *directory = CHECK_PTR(opendir(test_dir()));
    struct dirent *entry;

    while ((entry = readdir(directory)))
        if (strstr(entry->d_name, ".claims")) {
            struct file file = file_map(entry->d_name);
            shared_u64 *words = (shared_u64 *)(void *)(file.bytes + CLAIMS_HEADER);

            CHECK_INT(claim_state(words[*ticket]), CLAIM_DONE);
            words[*ticket] = claim_word(*ticket, CLAIM_CLAIMED, 4711); /* nobody: so he is dead */
            file_unmap(&file);
        }
    closedir(directory);
}

static void do_a_job_twice(enum key_mode mode)
{
    shm_socket_t *push = socket_with_mode(SHM_PUSH, mode), *pull = socket_with_mode(SHM_PULL, mode);
    uint64_t ticket = 0;
    char got[8];

    pair_up(push, pull);
    pass_text(push, pull, "pay");
    for (int round = 0; round < 2; round++) {
        child_run(hand_out_again, &ticket);
        set_int(pull, SHM_RCVTIMEO, 250);
        if (mode)
            CHECK_ERR(shm_recv(pull, got, sizeof got, 0), EBADMSG);
        else
            CHECK_INT(shm_recv(pull, got, sizeof got, 0), 3);
        if (round == 0 && mode) { /* nor by a pipe of its own */
            CHECK_OK(shm_disconnect(pull, "it"));
            connect_to(push, pull);
        }
    }
    CHECK_INT(get_stats(pull).received, mode ? 1 : 3);
    CLOSE_ALL(push, pull);
}

TEST_THAT(a_job_that_was_done_is_not_handed_out_again)
{
    for (enum key_mode mode = NO_KEY; mode < KEY_MODES; mode++) /* it is, without a key */
        do_a_job_twice(mode);
}

/* ---- Another ring ---- */

struct move {
    int from, to; /* socket types; if equal, two rings of one socket */
};

/* The first message of one ring is put into the place of another's first. */
static void move_message(struct child *up, void *argument)
{
    const struct move *move = argument;
    struct file from_file, to_file;
    struct ring_header *from = ring_find(move->from, &from_file), *to = ring_find(move->to, &to_file);

    if (move->from == move->to) /* the other ring of that segment */
        for (size_t at = SEGMENT_HEADER_SIZE; at + RING_HEADER <= to_file.size; at += 64) {
            struct ring_header *ring = (void *)(to_file.bytes + at);

            if (ring->magic == RING_MAGIC && ring->head == 1 && ring->slots >= 8 &&
                (unsigned char *)ring - to_file.bytes != (unsigned char *)from - from_file.bytes)
                to = ring;
        }
    CHECK_INT(from->head, 1);
    CHECK_INT(to->head, 1);
    CHECK((unsigned char *)to - to_file.bytes != (unsigned char *)from - from_file.bytes ||
          move->from != move->to);
    slot_of(to, 0)->meta = slot_of(from, 0)->meta;
    memcpy((void *)slot_of(to, 0)->payload, (void *)slot_of(from, 0)->payload, SLOT_PAYLOAD);
    file_unmap(&from_file);
    file_unmap(&to_file);
}

static void move_between_senders(enum key_mode mode)
{
    struct move move = {SHM_PUB, SHM_PAIR};
    shm_socket_t *pub = socket_new(SHM_PUB), *sub = socket_new(SHM_SUB);
    shm_socket_t *pair = socket_new(SHM_PAIR), *other = socket_new(SHM_PAIR), *all[] = {pub, sub, pair, other};
    char got[8];

    for (unsigned i = 0; i < COUNT_OF(all); i++)
        set_mode(all[i], mode);
    subscribe_to(sub, "");
    pair_up_at("one", pub, sub);
    pair_up_at("two", pair, other);
    send_text(pub, "for sub");
    send_text(pair, "for two");
    child_run(move_message, &move);
    if (mode)
        CHECK_ERR(shm_recv(other, got, sizeof got, 0), EBADMSG);
    else
        CHECK_INT(shm_recv(other, got, sizeof got, 0), 7);
    CLOSE_EACH(all);
}

static void move_between_readers(enum key_mode mode)
{
    struct move move = {SHM_ROUTER, SHM_ROUTER};
    shm_socket_t *router = socket_with_mode(SHM_ROUTER, mode), *a = socket_with_mode(SHM_DEALER, mode),
                 *b = socket_with_mode(SHM_DEALER, mode);
    char got[8];
    ssize_t n[2];

    CHECK_OK(shm_setsockopt(a, SHM_ROUTING_ID, "a", 1));
    CHECK_OK(shm_setsockopt(b, SHM_ROUTING_ID, "b", 1));
    pair_up(router, a);
    connect_to(router, b);
    send_parts(router, TEXTS("a", "for a"));
    send_parts(router, TEXTS("b", "for b"));
    child_run(move_message, &move);
    n[0] = shm_recv(a, got, sizeof got, 0);
    n[1] = shm_recv(b, got, sizeof got, 0);
    if (mode) {
        CHECK_INT(n[0] < 0 ? n[1] : n[0], 5); /* the one whose message was copied */
        CHECK_INT(get_stats(a).auth_failed + get_stats(b).auth_failed, 1);
    } else {
        CHECK_INT(n[0] + n[1], 10);
    }
    CLOSE_ALL(router, a, b);
}

TEST_THAT(a_message_of_another_sender_or_for_another_reader_is_not_taken)
{
    for (enum key_mode mode = NO_KEY; mode < KEY_MODES; mode++) {
        move_between_senders(mode);
        move_between_readers(mode);
    }
}

/* ---- A proof ---- */

enum change { CHANGE_NONE, CHANGE_PROOF, CHANGE_START, CHANGE_SESSION, CHANGE_START_ONLY, CHANGES };

static void change_proof(struct child *up, void *argument)
{
    enum change change = *(enum change *)argument;
    struct file file;
    struct pipe_record *records[8];
    unsigned count = 0;

    ring_find(SHM_PUB, &file);
    for (size_t at = SEGMENT_HEADER_SIZE; at + sizeof(struct pipe_record) <= file.size; at += 64) {
        struct pipe_record *record = (void *)(file.bytes + at);

        if (record->magic == PIPE_RECORD_MAGIC && record->hazard_tag && count < COUNT_OF(records))
            records[count++] = record;
    }
    CHECK_INT(count, 1);
    if (change == CHANGE_PROOF)
        records[0]->proof[1] ^= 1;
    if (change == CHANGE_START)
        records[0]->start = records[0]->proof_start = 0;
    if (change == CHANGE_START_ONLY) /* not what is proven */
        records[0]->start = 0;
    if (change == CHANGE_SESSION)
        records[0]->proof_session++;
    file_unmap(&file);
}

/* The publisher's proof is changed before the subscriber looks: it accepts nothing that follows, nor what was
 * published before it came. */
static void look_at_changed_proof(enum key_mode mode, enum change change)
{
    shm_socket_t *pub = socket_with_mode(SHM_PUB, mode), *sub = socket_with_mode(SHM_SUB, mode);
    char got[8];

    subscribe_to(sub, "");
    CHECK_OK(shm_bind(pub, "it"));
    send_text(pub, "old");
    CHECK_OK(shm_connect(sub, "it"));
    await_event(pub, SHM_EVENT_CONNECTED);
    send_text(pub, "hello");
    child_run(change_proof, &change);
    if (change == CHANGE_NONE || change == CHANGE_START_ONLY || !mode) {
        bool old = !mode && (change == CHANGE_START || change == CHANGE_START_ONLY);

        CHECK_INT(shm_recv(sub, got, sizeof got, 0), old ? 3 : 5);
    } else {
        CHECK_ERR(shm_recv(sub, got, sizeof got, 0), EBADMSG);
        CHECK_ERR(shm_recv(sub, got, sizeof got, SHM_DONTWAIT), EAGAIN);
        CHECK_INT(get_stats(sub).received, 0);
        CHECK_INT(get_stats(sub).peers, 0);
    }
    CLOSE_ALL(pub, sub);
}

TEST_THAT(a_changed_proof_is_no_proof)
{
    for (enum key_mode mode = NO_KEY; mode < KEY_MODES; mode++)
        for (enum change change = CHANGE_NONE; change < CHANGES; change++)
            look_at_changed_proof(mode, change);
}
