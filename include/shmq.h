/* SPDX-License-Identifier: MIT */
/*
 * shmq: messaging sockets for processes on one machine, over shared memory.
 *
 * The sockets are ZeroMQ's (PAIR, PUB/SUB, REQ/REP, DEALER/ROUTER, PUSH/PULL, XPUB/XSUB) and mean
 * what they mean there; the transport is a set of lock-free rings in shared memory. There is no
 * daemon, no hidden thread, no context object; in steady state no system call and no allocation.
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
 * Processes meet when they use the same directory. With $SHMQ_GROUP (a name or a number) it is the
 * directory of a group, mode 02770, by default /dev/shm/shmq-group-<gid>.
 *
 * Errors. A call that fails returns -1 (or NULL) and sets errno; a failed call changes nothing.
 * The library never prints and never aborts on what a caller or a peer did. Any call may fail with
 *   EINVAL    an argument is NULL, malformed or out of range
 *   EFORKED   the socket was made by the parent of this process: it may only be closed here
 *   EFAULT    is never used: a bad pointer crashes in the caller, as with memcpy()
 *
 * Threads. A socket is used by one thread at a time and may move between threads (with a fence, as
 * any hand-over through a lock or a join has it). Different sockets are independent. A received
 * zero-copy message may be closed by any thread.
 *
 * Fork. After fork() the child gets EFORKED for the sockets it inherited, may shm_close() them
 * (which leaves the parent's alone) and may make its own.
 *
 * Signals. No call is async-signal-safe. A signal handler ends a blocking call with EINTR.
 *
 * What is delivered. A message whose send returned is delivered exactly once, in order per sender,
 * as long as its receiver lives, also when the sender is killed with SIGKILL right after. A killed
 * process loses or repeats at most the one message that it had in hand. PUB drops for subscribers
 * that fall a whole ring behind, and they are told exactly how many (SHM_LOST); SHM_LOSSLESS
 * makes it wait instead.
 *
 * Hard real time. After warm-up, shm_send() and non-blocking shm_recv() neither allocate nor loop
 * without bound nor enter the kernel, except to wake a peer that sleeps and, for a socket that never
 * waits and has several peers or only sends, once in ten seconds to ask whether they live (see
 * SHM_SPIN_NS and SHM_LOCK_MEMORY). That a peer died is known within 100 ms by one that sleeps, spins
 * or polls in vain.
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
#define ENOCOMPATPROTO 156384764 /* the endpoint's files are of another version of shmq */
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

/* With the type: a socket without a directory, for shm_handover(). */
#define SHM_MEMFD 0x10000

/* Flags of send and receive. */
#define SHM_DONTWAIT 1 /* EAGAIN instead of waiting */
#define SHM_SNDMORE  2 /* a further part of the same message follows */

/* Options. "RW int" means: get and set, an int. Unless said otherwise an option may be set at any
 * time and holds for later calls; "before": only before the first bind or connect (else EBUSY). */
enum {
    /* ZeroMQ's, with its numbers */
    SHM_ROUTING_ID = 5,        /* RW bytes, 1..255, no leading 0; before. REQ, DEALER, ROUTER      */
    SHM_SUBSCRIBE = 6,         /* W  bytes, any: a prefix to receive ("" is everything). SUB, XSUB */
    SHM_UNSUBSCRIBE = 7,       /* W  bytes: EINVAL if it was not subscribed                        */
    SHM_RCVMORE = 13,          /* R  int: further parts of the current message follow              */
    SHM_FD = 14,               /* R  int: a descriptor, readable when the socket may be ready      */
    SHM_EVENTS = 15,           /* R  int: SHM_POLLIN and SHM_POLLOUT as they stand                 */
    SHM_TYPE = 16,             /* R  int: SHM_PAIR ...                                             */
    SHM_LINGER = 17,           /* RW int ms: what shm_close() waits for messages which nobody is
                                  connected to take; -1 for ever (default), 0 not at all           */
    SHM_SNDHWM = 23,           /* RW int: messages queued per peer, 0..1000000; 0: a million;
                                  default 1000; before                                             */
    SHM_RCVHWM = 24,           /* RW int: likewise; the smaller of both sides' marks holds (not of
                                  a PUB: its ring is as long as its SHM_SNDHWM); before            */
    SHM_RCVTIMEO = 27,         /* RW int ms: -1 for ever (default), 0 as with SHM_DONTWAIT         */
    SHM_SNDTIMEO = 28,         /* RW int ms                                                        */
    SHM_LAST_ENDPOINT = 32,    /* R  string: the last bound or connected, with its NUL             */
    SHM_ROUTER_MANDATORY = 33, /* RW int: EHOSTUNREACH for an unknown id, EAGAIN for a full peer   */
    SHM_IMMEDIATE = 39,        /* RW int: 1: queue only for peers that are there; before           */
    SHM_XPUB_VERBOSE = 40,     /* RW int: pass on every subscription, also repeated ones           */
    SHM_REQ_CORRELATE = 52,    /* RW int: a 4-byte number before each request; before              */
    SHM_REQ_RELAXED = 53,      /* RW int: a request may be sent before the last was answered       */
    SHM_CONFLATE = 54,         /* RW int: keep only the newest message; single parts; before       */
    SHM_ROUTER_HANDOVER = 56,  /* RW int: a newcomer takes over a routing id that is in use        */
    SHM_XPUB_NODROP = 69,      /* RW int: the same as SHM_LOSSLESS                                 */
    SHM_XPUB_MANUAL = 71,      /* not supported: EINVAL                                            */
    SHM_XPUB_VERBOSER = 78,    /* RW int: likewise for unsubscriptions                             */
    SHM_PROBE_ROUTER = 51,     /* RW int: an empty message to each new peer; before                */

    /* shmq's own */
    SHM_SPIN_NS = 1000,        /* RW int64: ns to spin before sleeping; 0 never sleeps late but at
                                  once, -1 spins for ever, -2 (default) calibrates itself          */
    SHM_LOSSLESS = 1001,       /* RW int: PUB: wait (or EAGAIN) for the slowest subscriber; before */
    SHM_HISTORY = 1002,        /* RW int: SUB, XSUB: start with up to N earlier messages, at once from
                                  a publisher that is bound; before                                */
    SHM_REDELIVER = 1003,      /* RW int: PULL: 1 (default) take over the message of a puller that
                                  died with it in hand (shm_msg_redelivered() tells); 0: drop it   */
    SHM_MEMORY_LIMIT = 1004,   /* RW uint64 bytes: shared memory that this socket may take for
                                  messages; 0 (default): as much as there is (PUB: 256 MiB)        */
    SHM_LOST = 1005,           /* R  uint64: messages this reader missed                           */
    SHM_STATS = 1006,          /* R  shm_stats_t                                                   */
    SHM_LOCK_MEMORY = 1007,    /* RW int: 1: allocate rings at bind and connect, and lock this socket's
                                  segment in memory;
                                  before                                                           */
    SHM_REQ_RESEND = 1008,     /* RW int: REQ: send the request again when its peer died; before   */
    SHM_ROUND_ROBIN = 1009,    /* RW int: PUSH: strict turns, a queue per peer, instead of giving
                                  each message to whoever is free; before                          */
    SHM_AUTH_KEY = 1010,       /* W  32 bytes: messages are authenticated; only peers with the same
                                  key are spoken to; before. ENOTSUP: built without libsodium      */
    SHM_AUTH_SEAL = 1011,      /* RW int: 1: with SHM_AUTH_KEY, messages are encrypted as well; both
                                  sides alike; before                                              */
};

/* Event bits. */
#define SHM_POLLIN  1 /* a receive will not wait */
#define SHM_POLLOUT 2 /* a send will not wait */
#define SHM_POLLERR 4 /* descriptors only: error or hang-up */
#define SHM_POLLPRI 8 /* shm_event_recv() will not wait */

typedef struct shm_socket shm_socket_t;

/* A message: by value, opaque; no allocation. Initialize before use, close after. */
typedef struct {
    uint64_t opaque[24];
} shm_msg_t;

typedef struct {
    shm_socket_t *socket; /* a socket, or NULL: then fd counts */
    int fd;
    short events, revents; /* SHM_POLLIN, SHM_POLLOUT, SHM_POLLPRI */
} shm_pollitem_t;

/* Counters of one socket since it was made. Exact; readable from outside with `shmq info`. */
typedef struct {
    uint64_t sent;           /* messages (of any number of parts) */
    uint64_t received;       /* messages handed to the caller */
    uint64_t bytes_sent;     /* payload */
    uint64_t bytes_received; /* payload */
    uint64_t lost;           /* missed by this reader: lapped, or dropped for SHM_REDELIVER 0 */
    uint64_t dropped;        /* thrown away by this sender: unknown or full peer, peer gone */
    uint64_t redelivered;    /* taken over from a dead puller */
    uint64_t wakes;          /* system calls made to wake a sleeping peer */
    uint64_t sleeps;         /* times this socket slept in the kernel */
    uint64_t peers;          /* connected now */
    uint64_t memory;         /* bytes of shared memory allocated now */
    uint64_t protocol_errors; /* peers detached because of what they wrote */
    uint64_t auth_failed;    /* SHM_AUTH_KEY: messages thrown away, and peers turned away */
} shm_stats_t;

/* What happened to a socket's peers; see shm_event_recv(). */
enum {
    SHM_EVENT_BOUND = 1,    /* shm_bind() succeeded */
    SHM_EVENT_CONNECTED,    /* a peer joined: both sides can send */
    SHM_EVENT_LEFT,         /* a peer closed, unbound or disconnected */
    SHM_EVENT_DIED,         /* a peer's process ended without that */
    SHM_EVENT_LAPPED,       /* value: messages just lost from that peer */
    SHM_EVENT_REJECTED,     /* a peer of a type that does not fit, or a second one of a PAIR */
    SHM_EVENT_BROKEN,       /* a peer wrote nonsense and was detached */
    SHM_EVENT_MISSED,       /* value: events overwritten because nobody read them */
    SHM_EVENT_UNTRUSTED,    /* a peer with another SHM_AUTH_KEY (or SHM_AUTH_SEAL), or without, was turned away */
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
 *   EINVAL no such type; ENOMEM; EMFILE; EPERM the runtime directory is not ours or open to
 *   others; ENOENT, EROFS, EACCES it cannot be made; ENOSPC shared memory is full; ENOTSUP /proc is not
 *   mounted, and the kernel (before 6.10) needs it; EOPNOTSUPP the directory's file system will not do (an
 *   overlay, a network's: it lacks O_TMPFILE, fallocate, or locks that a mapping keeps).
 * Cost: two small files in the runtime directory, about 20 us.
 *
 * TYPE | SHM_MEMFD: its memory lies in sealed memfds instead, and it meets its peers by shm_handover() alone:
 * shm_bind() and shm_connect() are ENOTSUP. It costs four descriptors, five for each peer, and 64 GiB of
 * addresses (which is the most that it can send at a time); memory that was used is given back at the end.
 */
SHM_API shm_socket_t *shm_socket(int type);

/*
 * Close SOCKET and free it. Messages already sent stay readable for the peers that are connected,
 * without any wait; for messages that no peer is there to take, see SHM_LINGER. Zero-copy messages
 * received from it stay valid until closed. NULL: EINVAL. In a forked child: frees its copy only.
 * Returns 0.
 */
SHM_API int shm_close(shm_socket_t *socket);

/*
 * Own the name ENDPOINT. One socket may bind a name, any number connect to it, in any order.
 *   EADDRINUSE a live socket is bound to it (a dead one's leavings are taken over);
 *   ENAMETOOLONG over 200 bytes; EINVAL empty; EPROTONOSUPPORT another scheme than shm://;
 *   ENOCOMPATPROTO, EPERM, ENOSPC, EMFILE as their names say; ENOMEM, also where SHM_LOCK_MEMORY asks for
 *   more than RLIMIT_MEMLOCK; ENOENT: the runtime directory was removed; EBUSY: the last one at the name
 *   was stopped while it removed it, and did not go on for 0.3 s. May be called for several names.
 */
SHM_API int shm_bind(shm_socket_t *socket, const char *endpoint);

/*
 * Connect to ENDPOINT, bound or not yet; a binder that comes back is found again without a call.
 * Connecting twice to one name does nothing the second time; to two names of one publisher, each message
 * comes twice. Errors as shm_bind(), without
 * EADDRINUSE; EUSERS: 65,535 peers are connected already; EISCONN: a PAIR has its peer, or waits for it elsewhere.
 */
SHM_API int shm_connect(shm_socket_t *socket, const char *endpoint);

/*
 * Join SOCKET to one of another process, user or container that shares no directory with it: both made with
 * SHM_MEMFD, and both calling this with the ends of one connected Unix stream socket, which stays the
 * caller's and is free again afterwards. Each gets descriptors of the other's memory, and of nothing else: what the
 * other sends can be read but not written, nor made shorter under the reader. Whom to let in is the caller's
 * matter, as by SO_PEERCRED. As often as wanted, with other peers; with one that has gone, all is closed.
 * Waits TIMEOUT_MS (-1: for ever) for the other side's call. After a failure FD may be half read: close it.
 *   EAGAIN    the time ran out
 *   EINVAL    SOCKET was made without SHM_MEMFD, or FD is of another family; ENOTSOCK, EBADF
 *   EPIPE, ECONNRESET  the other side has closed its end, or given up
 *   EPROTO    what came are not the bytes or the descriptors of a socket
 *   ENOCOMPATPROTO  the other library is of another version
 *   EISCONN   these two have been joined already
 *   EMFILE, ENOMEM, EINTR, ETERM
 * Cost: about 100 us. SHM_LAST_ENDPOINT then names the place, for shm_disconnect(). Source: SCM_RIGHTS, memfd_create(2), fcntl(2) F_ADD_SEALS.
 */
SHM_API int shm_handover(shm_socket_t *socket, int fd, int timeout_ms);

/* Undo the one or the other. ENOENT: the socket was not bound or connected to it. */
SHM_API int shm_unbind(shm_socket_t *socket, const char *endpoint);
SHM_API int shm_disconnect(shm_socket_t *socket, const char *endpoint);

/*
 * Send SIZE bytes as one message, or as one part of a message with SHM_SNDMORE. Messages are
 * atomic: receivers see all parts or none. Returns SIZE.
 *   EAGAIN    full, or nobody there, and SHM_DONTWAIT or SHM_SNDTIMEO ran out
 *   ENOTSUP   this type of socket does not send
 *   EFSM      out of turn (REQ, REP)
 *   EHOSTUNREACH  ROUTER: no such peer (with SHM_ROUTER_MANDATORY)
 *   EPIPE     PAIR: the peer has gone (said once)
 *   EMSGSIZE  larger than SHM_MEMORY_LIMIT allows
 *   ENOSPC    shared memory is full
 *   ENOMEM    memory or address space ran out, or what may be locked (SHM_LOCK_MEMORY)
 *   EINTR, ETERM
 * Cost: one copy; up to 112 bytes travel inside a ring slot. No system call unless a peer sleeps.
 */
SHM_API ssize_t shm_send(shm_socket_t *socket, const void *data, size_t size, int flags);

/*
 * Receive one part into BUFFER. Returns the part's whole size: if that is larger than SIZE, the
 * rest was cut off and is lost. SHM_RCVMORE says whether further parts follow.
 *   EAGAIN    nothing there and SHM_DONTWAIT or SHM_RCVTIMEO ran out
 *   ENOTSUP   this type of socket does not receive
 *   EFSM      out of turn (REQ, REP)
 *   ECONNRESET  REQ: the peer died with the request in hand; a new request may be sent
 *   EPIPE     PAIR: the peer has gone and everything it sent was read (said once)
 *   EPROTO    a peer wrote nonsense and was detached (said once per peer)
 *   EBADMSG   SHM_AUTH_KEY: a message that is not what its sender wrote was thrown away, or (said once
 *             per peer) a peer was turned away; the next receive goes on
 *   ENOMEM, EMFILE, ENFILE, EACCES  to look at the message; the next receive gives the part that this one
 *             would have given
 *   EINTR, ETERM
 */
SHM_API ssize_t shm_recv(shm_socket_t *socket, void *buffer, size_t size, int flags);

/* Options: see the list above. EINVAL: no such option, wrong size or range, or not for this type;
 * EBUSY: too late; ENOTSUP: not built in. On get, *size is the room and becomes the length. */
SHM_API int shm_setsockopt(shm_socket_t *socket, int option, const void *value, size_t size);
SHM_API int shm_getsockopt(shm_socket_t *socket, int option, void *value, size_t *size);

/* Make MSG empty. Every message begins with this or with shm_msg_loan(). Returns 0. */
SHM_API int shm_msg_init(shm_msg_t *msg);

/*
 * Make MSG of SIZE bytes of memory that is already shared: fill shm_msg_data(), then
 * shm_msg_send() it on the same SOCKET without a copy (on another socket it is copied).
 * MSG need not be initialized before. Errors: ENOTSUP, EMSGSIZE, ENOSPC, ENOMEM, EAGAIN (the limit
 * is reached until receivers let go).
 */
SHM_API int shm_msg_loan(shm_msg_t *msg, shm_socket_t *socket, size_t size);

SHM_API void *shm_msg_data(shm_msg_t *msg);
SHM_API size_t shm_msg_size(const shm_msg_t *msg);
SHM_API int shm_msg_more(const shm_msg_t *msg);        /* 1: further parts follow */
SHM_API int shm_msg_redelivered(const shm_msg_t *msg); /* 1: a puller died with it before */

/* Send MSG and leave it empty; on failure it stays as it was. Takes loans and received messages.
 * Returns the size. Errors as shm_send(). */
SHM_API ssize_t shm_msg_send(shm_msg_t *msg, shm_socket_t *socket, int flags);

/*
 * Receive one part as a view into the sender's memory (a copy inside MSG up to 112 bytes): valid
 * and unchanged until shm_msg_close(), however far the sender runs ahead, also after either socket
 * was closed. Read it, do not write it. MSG is initialized; what it held is closed. A socket holds
 * up to 255 views at a time, further ones are private copies. On PULL the message counts as done
 * when it is closed: a puller that dies before that leaves it to the others (SHM_REDELIVER).
 * Returns the size. Errors as shm_recv(), and ENOMEM.
 */
SHM_API ssize_t shm_msg_recv(shm_msg_t *msg, shm_socket_t *socket, int flags);

/* Let go of what MSG holds and leave it empty. Returns 0. */
SHM_API int shm_msg_close(shm_msg_t *msg);

/*
 * Wait until one of COUNT items is ready: returns how many are (their revents say for what), 0
 * after TIMEOUT_MS (-1: never), -1 with EINTR, ETERM, EINVAL, EFORKED; ENOMEM; where descriptors are
 * among the items also what getting SHM_FD fails with (EMFILE, ENOSPC). Sockets and descriptors mix. Spins first as the sockets' SHM_SPIN_NS have it (not when descriptors are among the items).
 */
SHM_API int shm_poll(shm_pollitem_t *items, int count, long timeout_ms);

/*
 * Take the next event of SOCKET (peers that joined, left, died ...), oldest first; the newest 64
 * are kept. Waits like shm_recv() does: SHM_DONTWAIT, SHM_RCVTIMEO. Returns 0.
 * Works on every type. EAGAIN, EINTR, ETERM.
 */
SHM_API int shm_event_recv(shm_socket_t *socket, shm_event_t *event, int flags);

/* End every blocked and every later call on SOCKET with ETERM (but shm_close()). The only call
 * that another thread may make while the socket is in use. Returns 0. */
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
