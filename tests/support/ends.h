/* SPDX-License-Identifier: MIT */
/*
 * The patterns as a table, for the suite that holds for all of them: which types go together, and
 * an "end" that hides their envelopes, so that one test sends a message from left to right (and
 * back, where the pattern has a way back) through any of them.
 *
 * In every pair the left end sends first. Ends have LINGER 0, a SUB or XSUB subscribes to all, the
 * ROUTERs of ROUTER/ROUTER are called "L" and "R", and every ROUTER is mandatory.
 */
#ifndef SHMQ_TEST_ENDS_H
#define SHMQ_TEST_ENDS_H

#include "sockets.h"

struct pair {
    int left, right;
    const char *name;
    bool two_way; /* right can send to left, at the latest after it has received */
    bool turns;   /* left must get an answer before it sends again */
    bool waits;   /* a full queue makes the sender wait (or EAGAIN) */
};

/* A pair, and which of its ends binds. */
struct pipe {
    const struct pair *pair;
    bool right_binds;
};

struct end {
    shm_socket_t *socket;
    int type, peer_type;
    bool is_left, envelope_sent, envelope_received;
    unsigned envelope_parts; /* so many of it were received */
    unsigned char id[256];   /* ROUTER: whom to send to: the peer that was last heard */
    size_t id_size;
};

/* A test that is run for every pipe. */
struct pipe_test {
    const char *name;
    void (*body)(const struct pipe *pipe);
    bool (*fits)(const struct pair *pair); /* NULL: all */
    unsigned deadline_s;
};

#define PIPE_TEST(function)                                                                                            \
    {                                                                                                                  \
#function, function, NULL, 0                                                                                   \
    }
#define PIPE_TEST_IF(function, fits_)                                                                                  \
    {                                                                                                                  \
#function, function, fits_, 0                                                                                  \
    }

int pipe_test_main(const char *group, const struct pipe_test *tests, size_t count, int argc, char **argv);

/* The table. */
unsigned pair_count(void);
const struct pair *pair_at(unsigned index);
const struct pair *pair_named(const char *name); /* or NULL */
bool pair_fans_out(const struct pair *pair);
bool pair_waits(const struct pair *pair);
bool pair_has_no_turns(const struct pair *pair);

/* Open an end of PIPE, neither bound nor connected; left or right. */
void end_open(struct end *end, const struct pipe *pipe, bool left);
/* Open it with a SOCKET that is there already. */
void end_setup(struct end *end, const struct pipe *pipe, bool left, shm_socket_t *socket);
bool end_binds(const struct end *end, const struct pipe *pipe);
/* Which of the two binds, or connects. */
struct end *binder_of(const struct pipe *pipe, struct end *left, struct end *right);
struct end *connector_of(const struct pipe *pipe, struct end *left, struct end *right);
/* Bind or connect, as PIPE has it for this end. */
void end_attach(struct end *end, const struct pipe *pipe, const char *name);
/* Both, the binder first, and wait until they have met. */
void pipe_attach(struct end *left, struct end *right, const struct pipe *pipe);
/* Open and attach it. */
void end_start(struct end *end, const struct pipe *pipe, bool left, const char *name);
/* Wait until the peer is there; for one end per process. */
void end_await(struct end *end);
/* Start it at "it", and wait for that. */
void end_meet(struct end *end, const struct pipe *pipe, bool left);
/* A child whose argument is the pipe. */
struct child pipe_child(const struct pipe *pipe, void (*function)(struct child *up, void *pipe));
/* Open both ends in this process, bind and connect them to "it", wait until they have met. */
void pipe_start(struct end *left, struct end *right, const struct pipe *pipe);
/* ... with high-water marks. */
void pipe_start_hwm(struct end *left, struct end *right, const struct pipe *pipe, int hwm);
void pipe_meet(struct end *left, struct end *right);
void end_close(struct end *end);
/* Both, A first. */
void pipe_close(struct end *a, struct end *b);

/* As shm_send() and shm_recv(), with the envelope of the pattern around. When the send of the body
 * failed, the next call sends, or receives, the body only. */
ssize_t end_send(struct end *end, const void *data, size_t size, int flags);
ssize_t end_recv(struct end *end, void *buffer, size_t size, int flags);
ssize_t end_msg_send(struct end *end, shm_msg_t *msg, int flags);
ssize_t end_msg_recv(struct end *end, shm_msg_t *msg, int flags);
/* Only the envelope: what comes before the body. -1 with errno as shm_send(), shm_recv(). */
int end_send_envelope(struct end *end, int flags);
int end_recv_envelope(struct end *end, int flags);
/* In patterns with turns: what right must do after it received, and left after right did. */
void end_give_turn(struct end *right);
void end_take_turn(struct end *left);
/* Both, in this process; nothing where there are no turns. */
void pipe_turn(struct end *left, struct end *right);

/* As end_send(), end_recv() (waiting), but a PAIR may be told once that its former peer has gone.
 */
ssize_t end_send_anew(struct end *end, const void *data, size_t size);
ssize_t end_recv_anew(struct end *end, void *buffer, size_t size);
/* As long as there is nothing: in shm_poll(), alone or beside a pipe. As shm_poll(). */
int end_wait_in_poll(struct end *end);
int end_wait_in_mixed_poll(struct end *end);
/* As end_recv(), of a byte at most, which is dropped. */
ssize_t end_recv_byte(struct end *end, int flags);
/* Send, or wait for, TEXT. */
void end_send_text(struct end *end, const char *text);
void end_expect_text(struct end *end, const char *text);
void end_pass_text(struct end *from, struct end *to, const char *text);
/* COUNT numbers, from 0 on. */
void end_send_counting(struct end *end, unsigned count, int flags);
void end_expect_counting(struct end *end, unsigned count);
/* Send what fits, without waiting. */
void end_fill(struct end *end);
/* Receive COUNT of those, and give the turn after each. */
void end_drain(struct end *right, unsigned count);
/* TEXT from left to right with these, then the turn. */
void pipe_transfer(struct end *left, struct end *right, const char *text);

/* Both ends have met, each with this high-water mark (0: as it is); then they are closed, LEFT first. */
typedef void met_body(const struct pipe *pipe, struct end *left, struct end *right);
void pipe_run(const struct pipe *pipe, int hwm, met_body *body);

/* A test for every pipe, or those whose pair of types FITS, that is run by pipe_run(). */
#define TEST_EACH_MET_PIPE(sentence, pipe, left, right) TEST_MET_PIPES(NULL, 0, sentence, pipe, left, right)
#define TEST_MET_PIPES(fits, hwm, sentence, pipe, left, right)                                                         \
    static met_body sentence##_met;                                                                                    \
    TEST_PIPES(fits, sentence, pipe)                                                                                   \
    {                                                                                                                  \
        pipe_run(pipe, hwm, sentence##_met);                                                                           \
    }                                                                                                                  \
    static void sentence##_met(const struct pipe *pipe, struct end *left, struct end *right)

/* Hundreds of messages, small and large in turn, from LEFT to RIGHT, each in a process of its own. */
void end_send_traffic(struct end *left);
void end_receive_traffic(struct end *right);

/* Fill with bytes that depend on SEED and position; say whether they still are there. */
void pattern_fill(void *data, size_t size, unsigned seed);
void pattern_check(const void *data, size_t size, unsigned seed);

#endif
