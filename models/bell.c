/* SPDX-License-Identifier: MIT */
/*
 * Bells: P1 to P3, S1 to S3, has_waiters and changed. Whoever sleeps, and has what it waits for, was woken.
 *
 * A process that waits calls socket_wait(), without spinning before; who is asleep in the kernel's queue stays
 * there until a wake takes it out. At the end nobody may be in the queue for whom
 * there is work. CASE says who waits for what:
 *
 *   1  a reader for a message, SPSC ring          S1 is R1, or the fast way's store and fence
 *   2  a sender for room in an SPSC ring          S1 is R3 and a fence
 *   3  a sender for room in a shared ring              S1 is C2; BY_VIEW: when the view is closed
 *   4  anybody for word of its peers                   S1 is the store of changed; RINGERS of them
 *   5  two subscribers for a message (has_waiters)
 *   6  two pullers for a message each (has_waiters; one is woken at a time)
 *   7  a puller for the second of two messages, another taking the first meanwhile
 *   8  a reader's descriptor for a message             S1 as in 1; a FIFO takes the futex's place
 *   9  one who polls two subscribers                   as 5
 *  10  anybody for shm_shutdown()                      S1 is changed; LINGER: in shm_close()
 *
 * run: -DCASE=1                       message
 * run: -DCASE=1 -DFAST_PATH               message, fast way
 * run: -DCASE=2                       room
 * run: -DCASE=2 -DFAST_PATH               room, fast way
 * run: -DCASE=2 -DEVERY=8             room, said when the ring is found empty
 * run: -DCASE=3                       claims
 * run: -DCASE=3 -DFAST_PATH               claims, fast way
 * run: -DCASE=4                       changed
 * run: -DCASE=5                       subscribers
 * run: -DCASE=5 -DFAST_PATH               subscribers, fast way
 * run: -DCASE=6                       pullers
 * run: -DCASE=7                       a puller, another being awake
 * run: -DCASE=8                       descriptor
 * run: -DCASE=9                       poll
 * run: -DCASE=10                      shutdown
 * run: -DCASE=10 -DLINGER               shutdown of one that closes
 * run: -DCASE=3 -DBY_VIEW             claims, kept by views
 */
#define RUNS_PIPE
#define RUNS_TX
#define RUNS_RX
#define RUNS_CLAIMS
#define RUNS_MEMBERSHIP
#define RUNS_WAIT
#define RUNS_MEMORY
#define RUNS_API
#include "shared.h"

#include "kernel.h"
#include "clock.h"

/* The FIFO of a descriptor: readable or not. */
#define FIFO 7
static pthread_mutex_t fifo = PTHREAD_MUTEX_INITIALIZER;
static int readable = 1;

static void set_readable(int to)
{
    pthread_mutex_lock(&fifo);
    readable = to;
    pthread_mutex_unlock(&fifo);
}

void os_fifo_drain(int fd)
{
    assert(fd == FIFO);
    set_readable(0);
}

void os_fifo_fill(int fd)
{
    assert(fd == FIFO);
    set_readable(1);
}

void store_fifo_raise(struct store *store, const char *name)
{
    (void)store, (void)name;
    set_readable(1);
}

#ifdef FAST_PATH /* FAST is taken: fast_path.h */
#define BY_FAST true
#else
#define BY_FAST false
#endif
#ifdef BY_VIEW
#define VIEW true
#else
#define VIEW false
#endif
#if CASE == 2
#define KIND RING_SPSC
#define WAITER 0
#elif CASE == 3
#define KIND RING_SPMC
#define WAITER 0
#elif CASE == 5 || CASE == 9
#define KIND RING_BROADCAST
#elif CASE == 6 || CASE == 7
#define KIND RING_SPMC
#else
#define KIND RING_SPSC
#endif

#define CLAIMS(owner_) {.header = &claims_header, .words = claims_words, .slots = SLOTS, .owner = owner_}
static struct claims_header claims_header;
static shared_u64 claims_words[SLOTS];
static struct claims sender_claims = CLAIMS(0);

#define OWN     OUT(0, KIND, .claims = &sender_claims)
#define ONE     (KIND == RING_SPSC)
#define RING    (ONE ? &pipes[0].own_ring : &sockets[0].tx.shared)
static struct pipe *const from[PROCESSES] = {NULL, &pipes[2], &pipes[3]};
static struct pipe *lists[4] = {&pipes[0], &pipes[1], &pipes[2], &pipes[3]};
static struct memory memory[PROCESSES] = {{RECORDS}, {RECORDS}, {RECORDS}};
static struct peer peers[2 * PROCESSES] = {PEER(0, 1, ), PEER(0, 2, ), PEER(1, 0, .claims = CLAIMS(1)),
                                           PEER(2, 0, .claims = CLAIMS(2))};
static struct pipe pipes[2 * PROCESSES] = {
    PIPE(0, 0, 0, 1, 0, .out = RING, .own_ring = OWN),
    PIPE(1, 0, 1, 2, 0, .out = RING),
    PIPE(2, 1, 0, 0, 0, .in = IN(0, KIND, .claims = &peers[2].claims), .has_in = true),
    PIPE(3, 2, 0, 0, 1, .in = IN(0, KIND, .claims = &peers[3].claims), .has_in = true),
};

static bool can_send(struct shm_socket *s)
{
    return ring_has_room(s, RING, ONE ? &pipes[0] : NULL);
}

static int send_nothing(struct shm_socket *s, const struct part *part)
{
    (void)s, (void)part;
    return 0;
}

/* There is something: it is not taken yet. */
static int advance_to_it(struct shm_socket *s)
{
    return s != &sockets[0] && ring_in_has(&s->pipes.list[0]->in);
}

static const struct kind kind = {.send = send_nothing, .can_send = can_send, .advance = advance_to_it};
static struct shm_socket sockets[PROCESSES] = {
    SOCKET(0, .pipes = &lists[0], .pipes.count = KIND == RING_SPSC ? 1 : 2, .kind = &kind,
           .tx.has_shared = KIND != RING_SPSC, .tx.shared = OWN),
    SOCKET(1, .pipes = &lists[2], .pipes.count = 1, .kind = &kind, .mark = 1, .wait.descriptor.fifo = FIFO),
    SOCKET(2, .pipes = &lists[3], .pipes.count = 1, .kind = &kind),
};

static void wait_for(struct shm_socket *s, short events)
{
    socket_wait(s, events, CLOCK_FOREVER);
}

static bool send_one(uint64_t value)
{
    return send_value(&sockets[0], RING, ONE ? &pipes[0] : NULL, value, BY_FAST);
}

/* ---- cases 1, 5, 6: readers wait ---- */

static void *waiting_reader(void *p)
{
    wait_for(&sockets[(intptr_t)p], SHM_POLLIN);
    return NULL;
}

model_thread(sender)
{
    for (int i = 0; i < (CASE == 6 || CASE == 7 ? 2 : 1); i++)
        assert(send_one(VALUE(i)));
    return NULL;
}

/* ---- cases 2, 3: the sender waits, its ring being full ---- */

model_thread(waiting_sender)
{
    wait_for(&sockets[0], SHM_POLLOUT);
    return NULL;
}

model_thread(reader)
{
    while (receive_value(&sockets[1], from[1], BY_FAST, VIEW) != 0)
        ;
    return NULL;
}

model_thread(taker)
{
    receive_value(&sockets[1], from[1], BY_FAST, false);
    return NULL;
}

/* ---- case 4: word of peers ---- */

static shared_u64 changes[2]; /* at endpoints, say */
static uint64_t seen[2];

static void *ringer(void *i)
{
    store_relaxed(&changes[(intptr_t)i], 1);
    peer_notify_bell(&peers[2].bell); /* process 0's */
    return NULL;
}

model_thread(notified)
{
    for (int i = 0; i < 2; i++) {
        if (load_relaxed(&sockets[0].bell.page->changed) != 0) {
            membership_sync(&sockets[0]);
            for (int k = 0; k < 2; k++)
                seen[k] = load_relaxed(&changes[k]);
        }
        if (i == 0)
            wait_for(&sockets[0], 0);
    }
    return NULL;
}

/* ---- cases 8, 9: a descriptor, a poll ---- */

model_thread(rearmer)
{
    socket_fd_rearm(&sockets[1]);
    socket_fd_rearm(&sockets[1]);
    return NULL;
}

model_thread(poller)
{
    struct wait_item items[2] = {{&sockets[1].wait, -1, SHM_POLLIN, 0}, {&sockets[2].wait, -1, SHM_POLLIN, 0}};
    shared_u32 *words[2];
    sleep_many(items, 2, words, BELL_SLICE_NS);
    return NULL;
}

/* ---- case 10: shm_shutdown() ---- */

model_thread(waiter)
{
#ifdef LINGER
    static struct pipe untaken = {.state = PIPE_QUEUED};
    static struct pipe *list[1] = {&untaken};
    struct shm_socket *s = &sockets[1];
    static struct membership membership;
    untaken.membership = &membership;
    untaken.out = &untaken.own_ring;
    untaken.own_ring.kind = RING_SPSC;
    untaken.own_ring.head = 1;
    s->pipes.list = list;
    s->options.linger = -1;
    linger(s);
#else
    wait_for(&sockets[1], SHM_POLLIN);
#endif
    return NULL;
}

int endpoint_binder_lives(const struct endpoint *endpoint)
{
    (void)endpoint;
    return 0;
}

model_thread(stopper)
{
    shm_shutdown(&sockets[1]);
    return NULL;
}

int main(void)
{
    pthread_t threads[3];
#if CASE == 8
    pthread_create(&threads[0], NULL, sender, NULL);
    pthread_create(&threads[1], NULL, rearmer, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert(readable || !ring_in_has(&from[1]->in));
#elif CASE == 9
    pthread_create(&threads[0], NULL, sender, NULL);
    pthread_create(&threads[1], NULL, poller, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert(!queued[1] && !queued[2]);
#elif CASE == 10
    pthread_create(&threads[0], NULL, stopper, NULL);
    pthread_create(&threads[1], NULL, waiter, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert(!queued[1]);
#elif CASE == 4
    pthread_create(&threads[0], NULL, notified, NULL);
    pthread_create(&threads[1], NULL, ringer, (void *)0);
    pthread_create(&threads[2], NULL, ringer, (void *)1);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    if (queued[0] || load_relaxed(&bells[0].changed) == 0)
        assert(seen[0] && seen[1]); /* or it will look when it is called next */
#elif CASE == 2 || CASE == 3
    assert(send_one(VALUE(0)) && send_one(VALUE(1)) && !send_one(VALUE(2)));
    pthread_create(&threads[0], NULL, waiting_sender, NULL);
    pthread_create(&threads[1], NULL, reader, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    assert(can_send(&sockets[0]) && !queued[0]);
#elif CASE == 7
    store_relaxed(&bells[0].has_waiters, 1); /* of one who has woken since: the sender may see this one only */
    pthread_create(&threads[0], NULL, sender, NULL);
    pthread_create(&threads[1], NULL, taker, NULL);
    pthread_create(&threads[2], NULL, waiting_reader, (void *)2);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert(!queued[2] || !ring_in_has(&from[2]->in));
#else
    int readers = CASE == 1 ? 1 : 2;
    pthread_create(&threads[0], NULL, sender, NULL);
    for (int p = 1; p <= readers; p++)
        pthread_create(&threads[p], NULL, waiting_reader, (void *)(intptr_t)p);
    for (int p = 0; p <= readers; p++)
        pthread_join(threads[p], NULL);
    assert(!queued[1] && !queued[2]);
#endif
    return 0;
}
