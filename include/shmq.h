/* SPDX-License-Identifier: MIT */
/*
 * shmq: messaging sockets for processes on one machine, over shared memory.
 *
 * The sockets are ZeroMQ's (PAIR, PUB/SUB, REQ/REP, DEALER/ROUTER, PUSH/PULL, XPUB/XSUB) and behave
 * as they do there; the transport is a set of lock-free rings in shared memory. There is no daemon,
 * no hidden thread, no context object, and in steady state no system call and no allocation.
 *
 *     #include <shmq.h>
 *
 *     shm_socket_t *pub = shm_socket(SHM_PUB);          shm_socket_t *sub = shm_socket(SHM_SUB);
 *     shm_bind(pub, "shm://robot/pose");                shm_connect(sub, "shm://robot/pose");
 *     for (;;)                                          shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0);
 *         shm_send(pub, &pose, sizeof pose, 0);         shm_recv(sub, &pose, sizeof pose, 0);
 *
 * Endpoints. "shm://NAME", or the bare NAME: 1 to 200 bytes, anything but NUL ("robot/pose" is
 * fine). Names live in the runtime directory: $SHMQ_DIR, by default /dev/shm/shmq-<uid>, mode 0700.
 * Processes meet if they use the same directory. With $SHMQ_GROUP (a name or a number) it is a
 * group's directory, mode 02770, by default /dev/shm/shmq-group-<gid>.
 *
 * Errors. A call that fails returns -1 (or NULL) and sets errno; a failed call changes nothing.
 * The library never prints and never aborts on what a caller or a peer did. Any call may fail with
 *   EINVAL    an argument is NULL, malformed or out of range
 *   EFORKED   the parent of this process made the socket: here it may only be closed
 * EFAULT is never used: a bad pointer crashes the caller, as with memcpy().
 *
 * Threads. A socket is used by one thread at a time. It may move between threads if a fence orders
 * the two, as a lock or a join does. Different sockets are independent. Any thread may close a
 * received zero-copy message.
 *
 * Fork. In the child, calls on inherited sockets fail with EFORKED. It may shm_close() them, which
 * leaves the parent's alone, and may make its own.
 *
 * Signals. No call is async-signal-safe. A signal handler ends a blocking call with EINTR.
 *
 * What is delivered. A message whose send returned is delivered exactly once, in order per sender,
 * as long as its receiver lives, even if the sender is killed with SIGKILL right after. A killed
 * process loses or repeats at most the one message that it had in hand. PUB drops messages for
 * subscribers that fall a whole ring behind, and they learn exactly how many (SHM_LOST);
 * SHM_LOSSLESS makes it wait instead.
 *
 * Hard real time. After warm-up, shm_send() and non-blocking shm_recv() neither allocate nor loop
 * without bound. They enter the kernel only to wake a peer that sleeps and, on a socket that never
 * waits and has several peers or only sends, twice a second to ask whether they live (see
 * SHM_SPIN_NS and SHM_LOCK_MEMORY). A socket that sleeps, spins or polls in vain notices a peer's
 * death within 100 ms, one that is busy or merely called within a second; what had been sent to
 * the dead peer's own queue by then counts as dropped.
 */
#ifndef SHMQ_H
#define SHMQ_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHM_VERSION_MAJOR 0
#define SHM_VERSION_MINOR 1
#define SHM_VERSION_PATCH 0

#if defined(SHMQ_BUILDING) && defined(__GNUC__)
#define SHM_API __attribute__((visibility("default")))
#else
#define SHM_API
#endif

/* Errors that the system has no name for. The first three are ZeroMQ's, with its numbers. */
#ifndef EFSM
#define EFSM 156384763 /* the call is out of turn for this socket (REQ, REP) */
#endif
#ifndef ETERM
#define ETERM 156384765 /* the socket was shut down by shm_shutdown() */
#endif
#ifndef ENOCOMPATPROTO
#define ENOCOMPATPROTO 156384764 /* another version of shmq made the endpoint's files */
#endif
#ifndef EFORKED
#define EFORKED 156384782 /* the socket belongs to the parent process */
#endif

/* Socket types, numbered as in zmq.h. */
#define SHM_PAIR   0
#define SHM_PUB    1
#define SHM_SUB    2
#define SHM_REQ    3
#define SHM_REP    4
#define SHM_DEALER 5
#define SHM_ROUTER 6
#define SHM_PULL   7
#define SHM_PUSH   8
#define SHM_XPUB   9
#define SHM_XSUB   10

/* Flag of shm_socket(): a socket without a directory, see shm_handover(). */
#define SHM_MEMFD 0x10000

/* Flags of send and receive. */
#define SHM_DONTWAIT 1 /* EAGAIN instead of waiting */
#define SHM_SNDMORE  2 /* further parts of the same message follow */

/* Options. "RW int" means: get and set, an int. An option may be set at any time and applies to later
 * calls; "before" means: only before the first bind or connect (else EBUSY). */
enum {
    /* ZeroMQ's, with its numbers */
    SHM_ROUTING_ID = 5,        /* RW bytes, 1..255, no leading 0; before. REQ, DEALER, ROUTER      */
    SHM_SUBSCRIBE = 6,         /* W  bytes, any: a prefix to receive ("" is everything). SUB, XSUB */
    SHM_UNSUBSCRIBE = 7,       /* W  bytes: EINVAL if it was not subscribed                        */
    SHM_RCVMORE = 13,          /* R  int: further parts of the current message follow              */
    SHM_FD = 14,               /* R  int: a descriptor, readable when there may be a message, or a
                                  peer came or went; once when there is room after a refused send;
                                  not because of unread events                                     */
    SHM_EVENTS = 15,           /* R  int: which of SHM_POLLIN and SHM_POLLOUT hold now             */
    SHM_TYPE = 16,             /* R  int: SHM_PAIR ...                                             */
    SHM_LINGER = 17,           /* RW int ms: how long shm_close() waits for messages that nobody is
                                  connected to take; -1 for ever (default), 0 not at all           */
    SHM_SNDHWM = 23,           /* RW int: messages queued per peer, 0..1000000; 0: a million;
                                  default 1000; before                                             */
    SHM_RCVHWM = 24,           /* RW int: the same; the smaller of both sides' marks applies (PUB:
                                  only its SHM_SNDHWM, the length of its ring); before             */
    SHM_RCVTIMEO = 27,         /* RW int ms: -1 for ever (default), 0 as with SHM_DONTWAIT         */
    SHM_SNDTIMEO = 28,         /* RW int ms                                                        */
    SHM_LAST_ENDPOINT = 32,    /* R  string: the last one bound or connected to, with its NUL      */
    SHM_ROUTER_MANDATORY = 33, /* RW int: EHOSTUNREACH for an unknown id, EAGAIN for a full peer   */
    SHM_IMMEDIATE = 39,        /* RW int: 1: queue only for peers that are present; before         */
    SHM_XPUB_VERBOSE = 40,     /* RW int: pass on every subscription, even repeated ones           */
    SHM_REQ_CORRELATE = 52,    /* RW int: a 4-byte number before each request; before              */
    SHM_REQ_RELAXED = 53,      /* RW int: a request may be sent before the last was answered       */
    SHM_CONFLATE = 54,         /* RW int: keep only the newest message; single parts; before       */
    SHM_ROUTER_HANDOVER = 56,  /* RW int: a newcomer takes over a routing id that is in use        */
    SHM_XPUB_NODROP = 69,      /* RW int: the same as SHM_LOSSLESS                                 */
    SHM_XPUB_MANUAL = 71,      /* not supported: EINVAL                                            */
    SHM_XPUB_VERBOSER = 78,    /* RW int: the same, and every unsubscription                       */
    SHM_PROBE_ROUTER = 51,     /* RW int: send an empty message to each new peer; before           */

    /* shmq's own */
    SHM_SPIN_NS = 1000,        /* RW int64: ns to spin before sleeping; 0 sleeps at once, -1 spins
                                  for ever, -2 (default) calibrates itself                         */
    SHM_LOSSLESS = 1001,       /* RW int: PUB: wait (or EAGAIN) for the slowest subscriber; before */
    SHM_HISTORY = 1002,        /* RW int: SUB, XSUB: start with up to N earlier messages; a bound
                                  publisher's are readable at once; before                         */
    SHM_REDELIVER = 1003,      /* RW int: PULL: 1 (default): take over what a puller had in hand when
                                  it died (see shm_msg_redelivered()); 0: drop it                  */
    SHM_MEMORY_LIMIT = 1004,   /* RW uint64 bytes: shared memory that this socket may use for
                                  messages; 0 (default): as much as there is (PUB: 256 MiB)        */
    SHM_LOST = 1005,           /* R  uint64: messages this reader missed; not those that
                                  SHM_CONFLATE skips                                               */
    SHM_STATS = 1006,          /* R  shm_stats_t                                                   */
    SHM_LOCK_MEMORY = 1007,    /* RW int: 1: allocate rings at bind and connect, and lock this
                                  socket's segment in memory; before                               */
    SHM_REQ_RESEND = 1008,     /* RW int: REQ: send the request again if its peer died; before     */
    SHM_ROUND_ROBIN = 1009,    /* RW int: PUSH: to peers strictly in turn, with a queue per peer,
                                  instead of to whoever is free; before                            */
    SHM_AUTH_KEY = 1010,       /* W  32 bytes: authenticate messages, and accept only peers with the
                                  same key; before. ENOTSUP: built without libsodium               */
    SHM_AUTH_SEAL = 1011,      /* RW int: 1: with SHM_AUTH_KEY, also encrypt messages; both sides
                                  must agree; before                                               */
    SHM_VIEW_SHARE = 1020,     /* RW int: PUB, XPUB: percent of SHM_MEMORY_LIMIT, 0..100, that all
                                  subscribers' views may keep; default 50; before                  */
};

/* Event bits. */
#define SHM_POLLIN  1 /* a receive will not wait */
#define SHM_POLLOUT 2 /* a send will not wait */
#define SHM_POLLERR 4 /* descriptors only: error or hang-up */
#define SHM_POLLPRI 8 /* shm_event_recv() will not wait */

typedef struct shm_socket shm_socket_t;

/* A message: an opaque value, nothing allocated. Initialize it before use, close it after. */
typedef struct {
    uint64_t opaque[24];
} shm_msg_t;

typedef struct {
    shm_socket_t *socket; /* a socket, or NULL to use fd */
    int fd;
    short events, revents; /* SHM_POLLIN, SHM_POLLOUT, SHM_POLLPRI */
} shm_pollitem_t;

/* Counters of one socket since it was made. Exact; readable from outside with `shmq info`. */
typedef struct {
    uint64_t sent;           /* messages (of any number of parts) */
    uint64_t received;       /* messages handed to the caller */
    uint64_t bytes_sent;     /* payload */
    uint64_t bytes_received; /* payload */
    uint64_t lost;           /* missed by this reader: lapped, or dropped by SHM_REDELIVER 0 */
    uint64_t dropped;        /* discarded by this sender: no, unknown or full peer, peer gone */
    uint64_t redelivered;    /* taken over from a dead puller */
    uint64_t wakes;          /* system calls made to wake a sleeping peer */
    uint64_t sleeps;         /* times this socket slept in the kernel */
    uint64_t peers;          /* connected now */
    uint64_t memory;         /* bytes of shared memory allocated now */
    uint64_t protocol_errors; /* peers detached because of what they wrote */
    uint64_t auth_failed;    /* SHM_AUTH_KEY: messages discarded, and peers turned away */
} shm_stats_t;

/* What happened to a socket's peers; see shm_event_recv(). */
enum {
    SHM_EVENT_BOUND = 1,    /* shm_bind() succeeded */
    SHM_EVENT_CONNECTED,    /* a peer joined: both sides can send */
    SHM_EVENT_LEFT,         /* a peer closed, unbound or disconnected its socket */
    SHM_EVENT_DIED,         /* a peer's process ended without doing so */
    SHM_EVENT_LAPPED,       /* value: messages just lost from that peer */
    SHM_EVENT_REJECTED,     /* turned away: a peer of an unfit type, a second one of a PAIR, or with a
                               routing id that another peer of this ROUTER has */
    SHM_EVENT_BROKEN,       /* a peer wrote nonsense and was detached */
    SHM_EVENT_MISSED,       /* value: events overwritten because nobody took them */
    SHM_EVENT_UNTRUSTED,    /* turned away: a peer with another SHM_AUTH_KEY or SHM_AUTH_SEAL, or no key */
    SHM_EVENT_SHARE_USED,   /* views of that peer keep as much as they may: its next messages are copied;
                               value: how many bytes (SHM_VIEW_SHARE) */
};

typedef struct {
    int event;             /* SHM_EVENT_... */
    int peer_type;         /* SHM_PAIR ..., -1 unknown */
    int peer_pid;          /* as the peer sees itself (its PID namespace); 0 unknown */
    uint64_t value;        /* by event */
    char endpoint[208];    /* the name it happened on, NUL-terminated */
} shm_event_t;

/*
 * Make a socket of TYPE. Returns it (close it with shm_close()), or NULL:
 *   EINVAL    no such type, or no such group as $SHMQ_GROUP names
 *   EPERM     the runtime directory belongs to others or is open to others
 *   ENOENT, EROFS, EACCES  it cannot be made or entered
 *   EOPNOTSUPP  its file system (an overlay, most network file systems) lacks O_TMPFILE, fallocate, or
 *             locks that a mapping keeps
 *   ENOTSUP   /proc is not mounted, and the kernel (before 6.10) needs it
 *   ENOSPC    shared memory is full
 *   ENOMEM, EMFILE
 * Cost: two small files in the runtime directory, about 20 us.
 *
 * TYPE | SHM_MEMFD: the memory lies in sealed memfds instead, and the socket meets its peers only through
 * shm_handover(): shm_bind() and shm_connect() fail with ENOTSUP. It costs four descriptors, five for each
 * peer, and 64 GiB of address space, which is the most that it can have under way; memory once used is given
 * back at the end.
 */
SHM_API shm_socket_t *shm_socket(int type);

/*
 * Close SOCKET and free it. Messages already sent stay readable for connected peers, and the call does
 * not wait for them; for messages that no peer is there to take, see SHM_LINGER. Zero-copy messages
 * received from it stay valid until closed. In a forked child it frees only the child's copy.
 * Returns 0. EINVAL: SOCKET is NULL.
 */
SHM_API int shm_close(shm_socket_t *socket);

/*
 * Own the name ENDPOINT. One socket may bind a name and any number may connect to it, in any order. What a
 * dead owner left is taken over. A socket may bind several names. Returns 0.
 *   EADDRINUSE  a live socket is bound to it
 *   ENAMETOOLONG  over 200 bytes; EINVAL  empty; EPROTONOSUPPORT  a scheme other than shm://
 *   EPERM     the name's files belong to others or are open to others
 *   ENOENT    the runtime directory was removed
 *   EBUSY     the last process at the name was stopped while it removed the name, and did not continue
 *             within 0.3 s
 *   ENOMEM    also if SHM_LOCK_MEMORY needs more than RLIMIT_MEMLOCK allows
 *   ENOCOMPATPROTO, ENOSPC, EMFILE
 */
SHM_API int shm_bind(shm_socket_t *socket, const char *endpoint);

/*
 * Connect to ENDPOINT, which need not be bound yet; a binder that comes back is found again automatically.
 * Connecting twice to one name does nothing the second time. A subscriber connected to two names of one
 * publisher gets each message twice. Returns 0. Errors as shm_bind(), except EADDRINUSE, and
 *   EUSERS    65,535 peers are connected already
 *   EISCONN   a PAIR has its peer, or waits for it at another name
 */
SHM_API int shm_connect(shm_socket_t *socket, const char *endpoint);

/*
 * Join SOCKET to one of another process, user or container that shares no directory with it. Both sockets are
 * made with SHM_MEMFD; both processes call this with the ends of one connected Unix stream socket, which stays
 * the caller's and is free again afterwards. Each side gets descriptors of the other's memory, and of nothing
 * else: it can read but not write what the other sends, and nobody can truncate it under the reader. The caller
 * decides whom to let in (SO_PEERCRED). A socket may be joined to any number of peers, one call each; when a
 * peer has gone, its descriptors are closed. SHM_LAST_ENDPOINT then names the place, for shm_disconnect().
 * Waits TIMEOUT_MS (-1: for ever) for the other side's call. After a failure FD may be half read: close it.
 *   EAGAIN    the time ran out
 *   EINVAL    SOCKET was made without SHM_MEMFD, or FD is of another family; ENOTSOCK, EBADF
 *   EPIPE, ECONNRESET  the other side has closed its end, or given up
 *   EPROTO    what arrived is not what a socket sends
 *   ENOCOMPATPROTO  the other side uses another version of the library
 *   EISCONN   these two have been joined already
 *   EMFILE, ENOMEM, EINTR, ETERM
 * Cost: about 100 us. Source: SCM_RIGHTS, memfd_create(2), fcntl(2) F_ADD_SEALS.
 */
SHM_API int shm_handover(shm_socket_t *socket, int fd, int timeout_ms);

/* Undo shm_bind() or shm_connect(). ENOENT: the socket was not bound or connected to ENDPOINT. */
SHM_API int shm_unbind(shm_socket_t *socket, const char *endpoint);
SHM_API int shm_disconnect(shm_socket_t *socket, const char *endpoint);

/*
 * Send SIZE bytes as one message, or as one part of a message with SHM_SNDMORE. Messages are
 * atomic: receivers see all parts or none. Returns SIZE.
 *   EAGAIN    full, or nobody there, and SHM_DONTWAIT was given or SHM_SNDTIMEO ran out
 *   ENOTSUP   this type of socket does not send
 *   EFSM      out of turn (REQ, REP)
 *   EHOSTUNREACH  ROUTER: no such peer (with SHM_ROUTER_MANDATORY)
 *   EPIPE     PAIR: the peer has gone (reported once)
 *   EMSGSIZE  larger than SHM_MEMORY_LIMIT allows
 *   ENOSPC    shared memory is full
 *   ENOMEM    out of memory, address space or lockable memory (SHM_LOCK_MEMORY)
 *   EINTR, ETERM
 * Cost: one copy; up to 112 bytes travel inside a ring slot. No system call unless a peer sleeps.
 */
SHM_API ssize_t shm_send(shm_socket_t *socket, const void *data, size_t size, int flags);

/*
 * Receive one part into BUFFER. Returns the part's whole size: if that is larger than SIZE, the
 * rest was cut off and is lost. SHM_RCVMORE says whether further parts follow.
 *   EAGAIN    nothing there, and SHM_DONTWAIT was given or SHM_RCVTIMEO ran out
 *   ENOTSUP   this type of socket does not receive
 *   EFSM      out of turn (REQ, REP)
 *   ECONNRESET  REQ: the peer died with the request in hand; a new request may be sent
 *   EPIPE     PAIR: the peer has gone and everything it sent was read (reported once)
 *   EPROTO    a peer wrote nonsense and was detached (reported once per peer)
 *   EBADMSG   SHM_AUTH_KEY: a message that is not what its sender wrote was discarded, or (reported once
 *             per peer) a peer was turned away; the next receive continues
 *   ENOMEM, EMFILE, ENFILE, EACCES  the message could not be looked at; it is not lost: the next receive
 *             returns the part that this one would have returned
 *   EINTR, ETERM
 */
SHM_API ssize_t shm_recv(shm_socket_t *socket, void *buffer, size_t size, int flags);

/* Options: see the list above. On get, *SIZE is the room at VALUE, and is set to the value's length. Return 0.
 * EINVAL: no such option, wrong size or range, or not for this type; EBUSY: too late; ENOTSUP: not built in. */
SHM_API int shm_setsockopt(shm_socket_t *socket, int option, const void *value, size_t size);
SHM_API int shm_getsockopt(shm_socket_t *socket, int option, void *value, size_t *size);

/* Make MSG empty. Every message begins with this or with shm_msg_loan(). Returns 0. */
SHM_API int shm_msg_init(shm_msg_t *msg);

/*
 * Make MSG of SIZE bytes of memory that is already shared: fill shm_msg_data(), then shm_msg_send() it
 * on the same SOCKET without a copy (on another socket it is copied). MSG keeps the memory of SOCKET, also after
 * that was closed. MSG need not be initialized before.
 * Returns 0. Errors: ENOTSUP, EMSGSIZE, ENOSPC, ENOMEM, EAGAIN (SHM_MEMORY_LIMIT is reached until receivers
 * release messages).
 */
SHM_API int shm_msg_loan(shm_msg_t *msg, shm_socket_t *socket, size_t size);

SHM_API void *shm_msg_data(shm_msg_t *msg);
SHM_API size_t shm_msg_size(const shm_msg_t *msg);
SHM_API int shm_msg_more(const shm_msg_t *msg);        /* 1: further parts follow */
SHM_API int shm_msg_redelivered(const shm_msg_t *msg); /* 1: a puller died with it in hand */

/* Send MSG, a loan or a received message, and leave it empty; on failure it stays as it was.
 * Returns the size. Errors as shm_send(). */
SHM_API ssize_t shm_msg_send(shm_msg_t *msg, shm_socket_t *socket, int flags);

/*
 * Receive one part as a view into the sender's memory (up to 112 bytes: a copy inside MSG). It is valid
 * and unchanged until shm_msg_close(), however far the sender runs ahead, and even after either socket
 * was closed. Read it; do not write it. MSG must be initialized; what it held is closed. A socket holds
 * up to 255 views at a time; further ones are private copies. On PULL the message counts as done when it
 * is closed: if the puller dies before that, another one gets it (SHM_REDELIVER).
 * Returns the size. Errors as shm_recv(), and ENOMEM.
 */
SHM_API ssize_t shm_msg_recv(shm_msg_t *msg, shm_socket_t *socket, int flags);

/* Release what MSG holds and leave it empty. Returns 0. */
SHM_API int shm_msg_close(shm_msg_t *msg);

/*
 * Wait until one of COUNT items, sockets or descriptors, is ready. Returns how many are (their revents say
 * for what), 0 after TIMEOUT_MS (-1: never), or -1 with EINTR, ETERM, EINVAL, EFORKED or ENOMEM; with
 * descriptors among the items also EMFILE or ENOSPC, if a socket's SHM_FD cannot be made. If all items are
 * sockets, spins first, as their SHM_SPIN_NS say.
 */
SHM_API int shm_poll(shm_pollitem_t *items, int count, long timeout_ms);

/*
 * Take the oldest pending event of SOCKET (a peer joined, left, died ...); the newest 64 are kept. Works
 * on every type. Waits like shm_recv(): SHM_DONTWAIT, SHM_RCVTIMEO. Returns 0. EAGAIN, EINTR, ETERM.
 */
SHM_API int shm_event_recv(shm_socket_t *socket, shm_event_t *event, int flags);

/* End every blocked and every later call on SOCKET, except shm_close(), with ETERM. The only call that
 * another thread may make while the socket is in use. Returns 0. */
SHM_API int shm_shutdown(shm_socket_t *socket);

/* Pass messages from FRONTEND to BACKEND and back until one of them is shut down; returns -1 with
 * ETERM. CAPTURE (may be NULL) gets a copy of each. As zmq_proxy(). */
SHM_API int shm_proxy(shm_socket_t *frontend, shm_socket_t *backend, shm_socket_t *capture);

/* A text for ERRNUM, the system's or shmq's own. Static; never NULL. */
SHM_API const char *shm_strerror(int errnum);
SHM_API void shm_version(int *major, int *minor, int *patch);

#ifdef __cplusplus
}
#endif
#endif
