/* SPDX-License-Identifier: MIT */
/*
 * The history checker: who sent what, who got what, and whether that is what shmq promises.
 *
 * Each process that takes part is an actor and has a log of its own in memory shared by all, so
 * that logs outlive whoever is killed. An entry counts once its number is published, the last
 * step of logging; a SIGKILL leaves a log that is a prefix of what was done.
 *
 *     log CALL before a send, RETURN after it returned well, CANCEL after it failed;
 *     log GOT after a receive; LOST whenever the counter of missed messages was read;
 *     log DIED (the parent does) after a kill -9.
 *
 * Messages carry their sender, their number (1, 2, 3 ... per sender) and a checksum over all of
 * themselves, so that a torn message is told from a whole one.
 *
 * The checks return NULL, or a text that says what is wrong (static, of the last check).
 *
 * fifo      one sender, one receiver: what returned arrives in order, each once.
 *           A dead sender: its call in hand may have arrived, as the last.
 *           A dead receiver: got a prefix, and what it had in hand is nobody's business.
 * shared    senders to competing receivers: everything once in total; per receiver, the messages
 *           of one sender are in order (those flagged as redelivered aside). A dead receiver:
 *           lossy_deaths allows one missing message per death (plain receives, where the death
 *           may come between the return and the log); every message that was got twice must be
 *           flagged, all its receivers but one must be dead, and deaths pay for the flags.
 * fanout    every receiver gets an ordered subsequence of what each sender sent since it JOINED
 *           (or, where it did not log that, since its first), and the gaps are what it was told:
 *           the counter is never behind the gaps, and equal to them at its last LOST. Whoever is
 *           alive at the end has got the last message of everybody.
 * calls     requests and answers: an answer belongs to the request that is out, each request is
 *           served at most once (with resend: once more per death of a server), each answered
 *           request was served, and each is answered unless its client died or logged CANCEL.
 *           Requests are GOT by servers with sender = the client; answers are GOT by clients with
 *           sender = themselves.
 */
#ifndef SHMQ_TEST_HISTORY_H
#define SHMQ_TEST_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum history_kind {
    HISTORY_CALL = 1,
    HISTORY_RETURN,
    HISTORY_CANCEL,
    HISTORY_GOT,
    HISTORY_GOT_AGAIN, /* got, flagged as redelivered */
    HISTORY_TORN,
    HISTORY_LOST,   /* number: the counter as read */
    HISTORY_JOINED, /* from here on, everything of SENDER is for this receiver, from NUMBER */
    HISTORY_DIED,
};

struct history;

/* A history of up to ACTORS actors with up to ENTRIES entries each. Make it before the fork. */
struct history *history_new(unsigned actors, unsigned entries);
void history_free(struct history *history);
/* Append to the log of ACTOR. SENDER and NUMBER name the message. */
void history_log(struct history *history, unsigned actor, enum history_kind kind, unsigned sender, uint64_t number);
/* How many entries of KIND the log of ACTOR holds. */
unsigned history_count(const struct history *history, unsigned actor, enum history_kind kind);

const char *history_check_fifo(const struct history *history, unsigned sender, unsigned receiver);
const char *history_check_shared(const struct history *history, bool lossy_deaths);
const char *history_check_fanout(const struct history *history);
const char *history_check_calls(const struct history *history, bool resend);

/* Messages of SENDER that returned and that nobody has got; with newest_only, whether the last of them is such. */
unsigned history_missing(const struct history *history, unsigned sender, bool newest_only);

/* A message of SIZE bytes (at least HISTORY_MESSAGE_MIN): fill it, or say what it is. */
#define HISTORY_MESSAGE_MIN 24
void history_message_make(void *message, size_t size, unsigned sender, uint64_t number);
/* False: torn, cut or never made by history_message_make(). */
bool history_message_read(const void *message, size_t size, unsigned *sender, uint64_t *number);
/* What the first part of a message says of it, unchecked. */
bool history_message_head(const void *part, size_t size, unsigned *sender, uint64_t *number);
/* What goes on from STATE over bytes: other bytes, another sum. */
uint64_t history_sum(uint64_t state, const void *data, size_t size);
/* Read a message that was received, and log it as GOT (AGAIN) or TORN. */
void history_log_message(struct history *history, unsigned actor, const void *message, size_t size, bool again);

#endif
