/* SPDX-License-Identifier: MIT */
/* Ends of every pattern. See ends.h. */
#include "ends.h"

#include <fcntl.h>
#include <sched.h>

static const struct pair pairs[] = {
    {SHM_PAIR, SHM_PAIR, "PAIR/PAIR", true, false, true},
    {SHM_PUB, SHM_SUB, "PUB/SUB", false, false, false},
    {SHM_PUB, SHM_XSUB, "PUB/XSUB", false, false, false},
    {SHM_XPUB, SHM_SUB, "XPUB/SUB", false, false, false},
    {SHM_XPUB, SHM_XSUB, "XPUB/XSUB", false, false, false},
    {SHM_REQ, SHM_REP, "REQ/REP", true, true, false},
    {SHM_REQ, SHM_ROUTER, "REQ/ROUTER", true, true, false},
    {SHM_DEALER, SHM_REP, "DEALER/REP", true, true, true},
    {SHM_DEALER, SHM_ROUTER, "DEALER/ROUTER", true, false, true},
    {SHM_DEALER, SHM_DEALER, "DEALER/DEALER", true, false, true},
    {SHM_ROUTER, SHM_ROUTER, "ROUTER/ROUTER", true, false, true},
    {SHM_PUSH, SHM_PULL, "PUSH/PULL", false, false, true},
};

unsigned pair_count(void)
{
    return COUNT_OF(pairs);
}

const struct pair *pair_at(unsigned index)
{
    return &pairs[index];
}

const struct pair *pair_named(const char *name)
{
    for (unsigned i = 0; i < COUNT_OF(pairs); i++)
        if (strcmp(pairs[i].name, name) == 0)
            return &pairs[i];
    return NULL;
}

bool pair_fans_out(const struct pair *pair)
{
    return pair->left == SHM_PUB || pair->left == SHM_XPUB;
}

static void set_id(struct end *end, const char *mine, const char *theirs)
{
    CHECK_OK(shm_setsockopt(end->socket, SHM_ROUTING_ID, mine, strlen(mine)));
    memcpy(end->id, theirs, strlen(theirs));
    end->id_size = strlen(theirs);
}

void end_open(struct end *end, const struct pipe *pipe, bool left)
{
    end_setup(end, pipe, left, socket_new(left ? pipe->pair->left : pipe->pair->right));
}

void end_setup(struct end *end, const struct pipe *pipe, bool left, shm_socket_t *socket)
{
    *end = (struct end){.is_left = left, .socket = socket};
    end->type = left ? pipe->pair->left : pipe->pair->right;
    end->peer_type = left ? pipe->pair->right : pipe->pair->left;
    if (end->type == SHM_SUB || end->type == SHM_XSUB)
        CHECK_OK(shm_setsockopt(end->socket, SHM_SUBSCRIBE, "", 0));
    if (end->type == SHM_ROUTER)
        set_int(end->socket, SHM_ROUTER_MANDATORY, 1);
    if (end->type == SHM_ROUTER && end->peer_type == SHM_ROUTER)
        set_id(end, left ? "L" : "R", left ? "R" : "L");
}

bool end_binds(const struct end *end, const struct pipe *pipe)
{
    return end->is_left != pipe->right_binds;
}

void end_attach(struct end *end, const struct pipe *pipe, const char *name)
{
    CHECK_OK(socket_attach(end->socket, end_binds(end, pipe), name));
}

void end_start(struct end *end, const struct pipe *pipe, bool left, const char *name)
{
    end_open(end, pipe, left);
    end_attach(end, pipe, name);
}

/* An XPUB is met when its subscriber's wish has arrived; a former one's end of it comes before. */
static bool take_subscription(struct end *end, int flags)
{
    unsigned char wish[8] = {0};
    ssize_t n;

    if (end->type != SHM_XPUB)
        return true;
    do
        n = shm_recv(end->socket, wish, sizeof wish, flags);
    while (n == 1 && wish[0] == 0);
    if (n < 0)
        CHECK_INT(errno, EAGAIN);
    else
        CHECK_MEM(wish, n, "\1", 1);
    return n == 1;
}

void end_await(struct end *end)
{
    await_event(end->socket, SHM_EVENT_CONNECTED);
    CHECK(take_subscription(end, 0));
}

void end_meet(struct end *end, const struct pipe *pipe, bool left)
{
    end_start(end, pipe, left, "it");
    end_await(end);
}

void pipe_meet(struct end *left, struct end *right)
{
    join(left->socket, right->socket);
    while (!take_subscription(left, SHM_DONTWAIT))
        socket_has_event(right->socket, SHM_EVENT_CONNECTED);
}

void pipe_start(struct end *left, struct end *right, const struct pipe *pipe)
{
    pipe_start_hwm(left, right, pipe, 0);
}

void pipe_start_hwm(struct end *left, struct end *right, const struct pipe *pipe, int hwm)
{
    end_open(left, pipe, true);
    end_open(right, pipe, false);
    if (hwm) {
        set_int(left->socket, SHM_SNDHWM, hwm);
        set_int(left->socket, SHM_RCVHWM, hwm);
        set_int(right->socket, SHM_SNDHWM, hwm);
        set_int(right->socket, SHM_RCVHWM, hwm);
    }
    pipe_attach(left, right, pipe);
}

struct end *binder_of(const struct pipe *pipe, struct end *left, struct end *right)
{
    return pipe->right_binds ? right : left;
}

struct end *connector_of(const struct pipe *pipe, struct end *left, struct end *right)
{
    return pipe->right_binds ? left : right;
}

void pipe_attach(struct end *left, struct end *right, const struct pipe *pipe)
{
    end_attach(binder_of(pipe, left, right), pipe, "it");
    end_attach(connector_of(pipe, left, right), pipe, "it");
    pipe_meet(left, right);
}

void end_close(struct end *end)
{
    CHECK_OK(shm_close(end->socket));
    end->socket = NULL;
}

void pipe_close(struct end *a, struct end *b)
{
    end_close(a);
    end_close(b);
}

/* ---- Envelopes ----------------------------------------------------------------------------------
 */

static bool has_delimiter(const struct end *end)
{
    return (end->type == SHM_ROUTER && end->peer_type == SHM_REQ) ||
           (end->type == SHM_DEALER && end->peer_type == SHM_REP);
}

int end_send_envelope(struct end *end, int flags)
{
    if (end->envelope_sent)
        return 0;
    if (end->type == SHM_ROUTER && shm_send(end->socket, end->id, end->id_size, flags | SHM_SNDMORE) < 0)
        return -1;
    if (has_delimiter(end) && shm_send(end->socket, "", 0, flags | SHM_SNDMORE) < 0)
        return -1;
    end->envelope_sent = true;
    return 0;
}

/* Or the part that could not be received comes at the next call. */
static bool message_is_gone(void)
{
    return errno == EPROTO || errno == EBADMSG;
}

int end_recv_envelope(struct end *end, int flags)
{
    ssize_t n;

    if (end->type == SHM_ROUTER && end->envelope_parts == 0) {
        n = shm_recv(end->socket, end->id, sizeof end->id, flags);
        if (n < 0)
            return -1;
        CHECK(n >= 1 && n <= 255);
        end->id_size = (size_t)n;
        end->envelope_parts = 1;
        CHECK_INT(get_int(end->socket, SHM_RCVMORE), 1);
    }
    if (has_delimiter(end)) {
        char nothing;

        n = shm_recv(end->socket, &nothing, 1, flags);
        if (n < 0) {
            end->envelope_parts = message_is_gone() ? 0 : end->envelope_parts;
            return -1;
        }
        CHECK_INT(n, 0);
        CHECK_INT(get_int(end->socket, SHM_RCVMORE), 1);
    }
    end->envelope_parts = 0;
    return 0;
}

ssize_t end_send(struct end *end, const void *data, size_t size, int flags)
{
    ssize_t n;

    if (end_send_envelope(end, flags & ~SHM_SNDMORE) < 0)
        return -1;
    n = shm_send(end->socket, data, size, flags);
    if (n >= 0)
        end->envelope_sent = (flags & SHM_SNDMORE) != 0;
    return n;
}

ssize_t end_msg_send(struct end *end, shm_msg_t *msg, int flags)
{
    ssize_t n;

    if (end_send_envelope(end, flags & ~SHM_SNDMORE) < 0)
        return -1;
    n = shm_msg_send(msg, end->socket, flags);
    if (n >= 0)
        end->envelope_sent = (flags & SHM_SNDMORE) != 0;
    return n;
}

ssize_t end_recv(struct end *end, void *buffer, size_t size, int flags)
{
    if (!end->envelope_received && end_recv_envelope(end, flags) < 0)
        return -1;
    ssize_t n = shm_recv(end->socket, buffer, size, flags);
    end->envelope_received = n < 0 && !message_is_gone();
    return n;
}

ssize_t end_msg_recv(struct end *end, shm_msg_t *msg, int flags)
{
    if (!end->envelope_received && end_recv_envelope(end, flags) < 0)
        return -1;
    ssize_t n = shm_msg_recv(msg, end->socket, flags);
    end->envelope_received = n < 0 && !message_is_gone();
    return n;
}

static bool has_turns(const struct end *end)
{
    return end->type == SHM_REQ || end->peer_type == SHM_REQ || end->type == SHM_REP || end->peer_type == SHM_REP;
}

void end_give_turn(struct end *right)
{
    if (has_turns(right))
        CHECK_INT(end_send(right, "turn", 4, 0), 4);
}

void end_take_turn(struct end *left)
{
    char turn[8];

    if (!has_turns(left))
        return;
    CHECK_INT(end_recv(left, turn, sizeof turn, 0), 4);
    CHECK_MEM(turn, 4, "turn", 4);
}

void pipe_turn(struct end *left, struct end *right)
{
    end_give_turn(right);
    end_take_turn(left);
}

ssize_t end_send_anew(struct end *end, const void *data, size_t size)
{
    ssize_t n = end_send(end, data, size, 0);

    if (n < 0 && errno == EPIPE && end->type == SHM_PAIR)
        n = end_send(end, data, size, 0);
    return n;
}

ssize_t end_recv_anew(struct end *end, void *buffer, size_t size)
{
    ssize_t n = end_recv(end, buffer, size, 0);

    if (n < 0 && errno == EPIPE && end->type == SHM_PAIR)
        n = end_recv(end, buffer, size, 0);
    return n;
}

int end_wait_in_poll(struct end *end)
{
    shm_pollitem_t item = {end->socket, -1, SHM_POLLIN, 0};

    return shm_poll(&item, 1, -1);
}

int end_wait_in_mixed_poll(struct end *end)
{
    int pipes[2];
    shm_pollitem_t items[2] = {{end->socket, -1, SHM_POLLIN, 0}, {NULL, -1, SHM_POLLIN, 0}};
    int result;

    CHECK_OK(pipe2(pipes, O_CLOEXEC));
    items[1].fd = pipes[0];
    result = shm_poll(items, 2, -1);
    close(pipes[0]);
    close(pipes[1]);
    return result;
}

ssize_t end_recv_byte(struct end *end, int flags)
{
    char byte;

    return end_recv(end, &byte, 1, flags);
}

void end_send_text(struct end *end, const char *text)
{
    CHECK_INT(end_send(end, text, strlen(text), 0), strlen(text));
}

void end_expect_text(struct end *end, const char *text)
{
    char got[64];
    ssize_t n = CHECK_OK(end_recv(end, got, sizeof got, 0));

    CHECK_MEM(got, n, text, strlen(text));
}

void end_pass_text(struct end *from, struct end *to, const char *text)
{
    end_send_text(from, text);
    end_expect_text(to, text);
}

void end_send_counting(struct end *end, unsigned count, int flags)
{
    for (unsigned i = 0; i < count; i++)
        CHECK_INT(end_send(end, &i, sizeof i, flags), sizeof i);
}

void end_expect_counting(struct end *end, unsigned count)
{
    for (unsigned i = 0, got; i < count; i++) {
        CHECK_INT(end_recv(end, &got, sizeof got, 0), sizeof got);
        CHECK_INT(got, i);
    }
}

void end_fill(struct end *end)
{
    for (unsigned sent = 0; end_send(end, "x", 1, SHM_DONTWAIT) == 1; sent++)
        CHECK(sent < 100000);
    CHECK_INT(errno, EAGAIN);
}

void end_drain(struct end *right, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK_INT(end_recv_byte(right, 0), 1);
        end_give_turn(right);
    }
}

void pipe_transfer(struct end *left, struct end *right, const char *text)
{
    char got[64];
    size_t size = strlen(text);

    CHECK_INT(end_send_anew(left, text, size), size);
    CHECK_INT(end_recv_anew(right, got, sizeof got), size);
    CHECK_MEM(got, size, text, size);
    pipe_turn(left, right);
}

void pattern_fill(void *data, size_t size, unsigned seed)
{
    unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed * 37 + i + (i >> 8) * 13);
}

void pattern_check(const void *data, size_t size, unsigned seed)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        if (bytes[i] != (unsigned char)(seed * 37 + i + (i >> 8) * 13))
            FAIL("byte %zu of %zu is 0x%02x and not what message %u has there", i, size, bytes[i], seed);
}
