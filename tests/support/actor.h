/* SPDX-License-Identifier: MIT */
/*
 * An actor: a process with one end of a pipe, as the tests of crash, storm and kill have them. Here is what all of
 * them do with that end: ask the socket for a policy, send and receive whole messages (in parts, in loans, by views
 * that may be held), answer. What an actor does when, and when it dies, each has for itself:
 *
 *     tests/crash      orders of a director; one of the actors goes step by step
 *     support/round    roles that are played to the end or to a death by timer: tests/storm draws such rounds at
 *                      random, tests/crash/test_kill.c has them written down
 *     test_kill_pipes  scenes of one actor and the test itself
 *
 * The processes are child_fork()'s (harness.h), the messages history_message_make()'s (history.h).
 */
#ifndef SHMQ_TEST_ACTOR_H
#define SHMQ_TEST_ACTOR_H

#include "ends.h"
#include "history.h"

enum { KEY_NONE, KEY_AUTHENTICATED, KEY_SEALED };
enum { CONFLATE_NONE, CONFLATE_SENDER, CONFLATE_BOTH };

/* What is done otherwise than plainly. */
struct policy {
    /* options of the sockets */
    unsigned key;
    unsigned conflate;
    int history; /* a subscriber asks for so many older ones */
    bool lossy;  /* publishers do not wait for subscribers */
    bool round_robin, resend;
    bool once; /* what a dead puller had in hand does not come again */
    /* how messages are sent and received */
    unsigned parts; /* of each message */
    bool loans, views;
    bool holds; /* views stay open while others come and go, to the end of their receiver's socket */
    /* names */
    bool two_names; /* who stays is bound or connected to both */
    bool crossed;   /* who binds at the one name connects to the other */
    bool roams;     /* who comes and goes is at both */
    bool detaches;  /* who closes unbinds or disconnects before */
};

void policy_set(const struct policy *policy, const struct end *end);

/* A view, and the sum over what it was at first. */
struct held {
    shm_msg_t msg;
    bool is_open;
    uint64_t sum;
};

/* When an actor of a round dies: DELAY_NS after it has come to PHASE. */
enum phase { AT_START, WHEN_MET, AFTER_FIRST, AFTER_SOME, NEVER };

struct doom {
    enum phase phase;
    uint32_t delay_ns;
    unsigned some; /* messages, for AFTER_SOME */
    bool leaves_heir;
};

enum { HELD_MAX = 8, MESSAGE_ROOM = 65536 };

struct actor {
    struct history *history;
    unsigned number; /* in it */
    struct policy policy;
    struct pipe pipe;
    struct end end;
    const size_t *cuts; /* where the parts of a message begin and end; NULL: all are as long */
    unsigned part;      /* of the message being sent: the next */
    unsigned taken;     /* parts of the message being received that are not in the buffer */
    uint64_t called;    /* the number of the last message of which a send was called, and logged */
    const void *got;    /* the last message received, what it said it is */
    size_t got_size;
    uint64_t got_number;
    unsigned got_sender;                    /* of the last message received */
    bool (*is_again)(shm_socket_t *socket); /* was what was just received redelivered? For who knows without views */
    struct held held[HELD_MAX];
    unsigned held_next;
    _Atomic uint64_t *turned_away; /* calls that fail for want of memory, and are made again; NULL: none may */
    /* in a round */
    struct stage *stage;
    const struct plan *plan;
    bool doomed, is_armed;
    struct doom doom;
    int fd; /* SHM_FD, for who waits by it */
};

void rest_us(unsigned us);
/* After a call that failed: true if it was for want of memory, where that may be; then a short rest. */
bool actor_lacks_memory(struct actor *actor);
/* As end_send(), in parts, up to but not with part END; the rest of them, and what was refused, at the next call
 * with the same message. */
ssize_t actor_send_parts(struct actor *actor, const void *bytes, size_t size, unsigned end, int flags);
ssize_t actor_send(struct actor *actor, const void *bytes, size_t size, int flags);
/* One attempt to send message NUMBER, of SIZE bytes; logged are the first call for it, and its return. False: to be
 * tried again, perhaps once somebody has come. */
bool actor_send_logged(struct actor *actor, uint64_t number, size_t size, int flags);
/* One attempt to receive, logged; false: nothing came. */
bool actor_recv_logged(struct actor *actor, int flags);
/* An answer does not wait; to somebody who has gone meanwhile it goes nowhere. */
void actor_answer(struct actor *actor, const void *bytes, size_t size, bool in_parts);
/* As end_recv(), by views if the policy has it; all parts, one behind the other. The caller closes MSG: before that,
 * the message is still in hand. */
ssize_t actor_recv(struct actor *actor, shm_msg_t *msg, void *buffer, size_t room, int flags, bool *again);
/* Of a message whose first GOT bytes are in BUFFER, or in VIEW: the rest. Returns the size of all. */
ssize_t actor_recv_rest(struct actor *actor, shm_msg_t *view, void *buffer, size_t got, size_t room, int flags,
                        bool *again);
/* An XPUB is told who wants what. */
void actor_drop_wishes(struct actor *actor);
void actor_drop_events(struct actor *actor);

/* Where the next message goes: a view that is in the way is closed. To be kept if it came. */
shm_msg_t *actor_place(struct actor *actor);
void actor_keep(struct actor *actor, bool came);
/* Close all views that are held, each as it was when it came; how many those were. */
unsigned actor_let_go(struct actor *actor);

/* COUNT times what SHMQ_TEST_KILLS says (1 by default): the number of kills of a written case. */
unsigned kills(unsigned count);

#endif
