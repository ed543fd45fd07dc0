/* SPDX-License-Identifier: MIT */
/*
 * The storm: processes on all patterns, killed at random instants while messages flow, and judged by
 * their histories. A round is a plan, made from the seed and the round's number alone; lanes run
 * rounds side by side, each in a runtime directory of its own.
 *
 *     plan.c    what a round is, from seed and number      policy.c  keys, options, parts, loans, names
 *     stage.c   what the processes of one round share
 *     doom.c    a process's own death, by a timer that sends SIGKILL; heirs that a fork leaves
 *     flow.c    senders and receivers          calls.c  clients and servers
 *     churn.c   those who come and go; bystanders; the probe that a name is still usable
 *     faults.c  what is done from outside: SIGSTOP, a full file system, truncated and unlinked files
 *     round.c   the course of a round          judge.c  histories against the contract
 *     flat.c    memory, descriptors and files stay level
 *     report.c  the table                      main.c   lanes, arguments
 *
 * What a round shows:
 *   senders   senders die, receivers live: what was acknowledged arrives, once, in order
 *   receivers receivers die, the sender lives: at most the message in hand is lost or comes again;
 *             where the queue goes with its reader (see docs/FAILURE.md), each reader's run has no gap
 *   calls     clients or servers die: no call is served twice, none is left without an end
 *   churn     killed anywhere between shm_socket() and shm_close(): the name stays usable
 *   truncate  files are cut under those who map them: they may get SIGBUS or errors, nobody else does
 *   unlink    files are removed under those who use them: errors, but no crash; nobody else is hurt
 */
#ifndef SHMQ_STORM_H
#define SHMQ_STORM_H

#include "../support/ends.h"
#include "../support/history.h"

#include <stdatomic.h>

enum {
    ACTORS_MAX = 320,
    ENTRIES = 65536,
    PAIRS_MAX = 16,
    MESSAGES_MAX = 800, /* of one survivor; beyond that it goes on slowly, as others ask for more */
    MESSAGE_ROOM = 65536,
    DEADLINE_MS = 10000,
    HELD_MAX = 8,
};

enum kind { SENDERS, RECEIVERS, CALLS, CHURN, TRUNCATE, UNLINK, KINDS };
enum phase { AT_START, WHEN_MET, AFTER_FIRST, AFTER_SOME, NEVER };
enum waiting { BY_YIELD, BY_BLOCKING, BY_FD, BY_POLL };

/* When a process dies: DELAY_NS after it has come to PHASE. */
struct doom {
    enum phase phase;
    uint32_t delay_ns;
    unsigned some; /* messages, for AFTER_SOME */
    bool leaves_heir;
};

struct policy {
    unsigned key;   /* 1 authenticated, 2 sealed */
    unsigned parts; /* of a message */
    bool loans;
    bool lossy, conflate, history, round_robin, resend; /* options of the sockets */
    bool two_names; /* who stays is bound or connected to both */
    bool crossed;   /* who binds at the one name connects to the other */
    bool roams;     /* who comes and goes is at both */
    bool detaches;  /* who closes unbinds or disconnects before */
    bool holds;     /* views stay open while others come and go, to the end of their receiver's socket */
};

struct plan {
    uint64_t seed, round;
    enum kind kind;
    unsigned pair; /* of pair_at() */
    struct pipe pipe;
    unsigned slots;     /* victims at a time */
    unsigned victims;   /* in all */
    unsigned survivors; /* of the other side */
    unsigned messages;  /* of each doomed sender */
    unsigned size_max;
    int hwm;
    int64_t spin_ns;
    enum waiting waiting;
    unsigned pace_us; /* of a surviving sender */
    bool eager;       /* connectors send before they are met */
    bool by_view, stops, heirs, full, left_dies;
    struct policy policy;
};

/* What a run may be narrowed to; -1: all. */
struct filter {
    int kind, pair;
    bool full; /* a private file system is there to be filled */
    bool keys; /* there is a library for SHM_AUTH_KEY */
    bool plain; /* no policies */
};

void plan_make(struct plan *plan, uint64_t seed, uint64_t round, const struct filter *filter);
struct doom plan_doom(const struct plan *plan, unsigned actor);
void plan_print(const struct plan *plan, int fd);
const char *kind_name(enum kind kind);
/* A receiver's unread messages wait for its successor. */
bool plan_keeps_queue(const struct plan *plan);
bool plan_fans_out(const struct plan *plan);
/* Messages may be missed, but never the newest. */
bool plan_keeps_newest(const struct plan *plan);

void policy_draw(struct plan *plan, bool keys);
void policy_print(const struct policy *policy, int fd);
bool policy_has_keys(void);

/* ---- What the processes of a round share ---- */

struct stage {
    struct plan plan;
    struct history *history;
    unsigned actors;              /* used so far */
    _Atomic bool finished;        /* no victim comes any more */
    _Atomic bool last_is_here;    /* the receiver or server that stays has met its peer */
    _Atomic bool others_done;     /* who waits for the survivors of the other side may go */
    _Atomic uint64_t mark;        /* the sender's first number after `finished` */
    _Atomic uint64_t end_number;  /* its last */
    _Atomic bool reached;         /* the last receiver got one from `mark` on */
    _Atomic unsigned ready;       /* survivors that are attached */
    _Atomic unsigned hungry;      /* grows when a receiver has found nothing */
    _Atomic unsigned heirs;
    _Atomic bool over;            /* heirs may go, too */
    _Atomic uint64_t turned_away; /* calls that failed for lack of memory, and said so */
    _Atomic unsigned fd_growth, map_growth; /* of a survivor, see flat.c */
    _Atomic(const char *) doing[ACTORS_MAX];
};

struct stage *stage_new(void);
void stage_reset(struct stage *stage, const struct plan *plan);
void stage_clear(struct stage *stage);
void stage_free(struct stage *stage);
/* Messages of actor SENDER that returned and that nobody has got. */
unsigned stage_missing(const struct stage *stage, unsigned sender);

/* ---- An actor, in its own process ---- */

struct held {
    shm_msg_t msg;
    bool is_open;
    uint64_t sum; /* over what it was at first */
};

struct actor {
    struct stage *stage;
    const struct plan *plan;
    unsigned number;
    bool doomed, is_armed;
    struct doom doom;
    struct end end;
    int fd; /* SHM_FD, for BY_FD */
    unsigned part; /* of the message being sent: the next */
    struct held held[HELD_MAX];
    unsigned held_next;
};

typedef void role_fn(struct actor *actor);

role_fn flow_doomed_sender, flow_surviving_sender, flow_doomed_receiver, flow_surviving_receiver,
    flow_last_receiver;
role_fn calls_client, calls_server;
role_fn churn_come_and_go, churn_probe, churn_stand_by;

/* Have the actor die if this is the time for it. */
void doom_reached(struct actor *actor, enum phase phase, unsigned some);
/* Wait for death. */
_Noreturn void doom_await(struct actor *actor);

/* Open, set up, bind or connect; as long as memory lacks and the plan says so, again. */
void actor_open(struct actor *actor, bool left);
void actor_close(struct actor *actor);
void policy_set(const struct plan *plan, shm_socket_t *socket, bool left);
void policy_attach(struct actor *actor);
void policy_part(struct actor *actor);
ssize_t actor_send(struct actor *actor, const void *bytes, size_t size, int flags);
/* The caller closes MSG: before that, the message is still in hand. */
ssize_t actor_recv(struct actor *actor, shm_msg_t *msg, void *buffer, size_t room, int flags, bool *again);
/* Where the next message goes: a view that is in the way is closed. To be kept if it came. */
shm_msg_t *policy_place(struct actor *actor);
void policy_keep(struct actor *actor, bool came);
void policy_let_go(struct actor *actor);
void actor_says(struct actor *actor, const char *doing);
/* After a call that failed: true if it was for want of memory, as planned; then a short rest. */
bool actor_lacks_memory(struct actor *actor);
/* Wait for messages or peers, a few ms at most, as the plan has it. */
void actor_wait(struct actor *actor);
/* The same, for those who do not care who comes and goes. */
void actor_idle(struct actor *actor);
void rest_us(unsigned us);

/* ---- Level ---- */

struct level {
    unsigned fds, maps;
};

struct level level_now(void);
/* Note in the stage by how much this survivor has grown. */
void level_note(struct actor *actor, const struct level *before);

/* ---- Results ---- */

struct tally {
    uint64_t rounds, kills, stops, heirs, restarts, acked, delivered, again, in_hand, lost,
        turned_away, faults, buses, leavings, violations;
};

struct totals {
    struct tally pair[PAIRS_MAX];
    uint64_t kind_kills[KINDS], kind_rounds[KINDS];
    uint64_t phase_kills[NEVER];
    unsigned fd_growth_max, map_growth_max;
    uint64_t files_kept, controller_fds_first, controller_fds_last, rss_first_kib, rss_last_kib,
        blocks_first, blocks_last;
};

void totals_add(struct totals *sum, const struct totals *more);
void report_print(const struct totals *totals, uint64_t seed, double seconds);

/* Judge a round whose processes have ended. NULL, or what is wrong. */
const char *judge(const struct stage *stage, struct tally *tally);
/* Write what is known of the round into a file of that directory. */
void judge_keep(const struct stage *stage, const char *directory, const char *wrong);

/* ---- Faults from outside ---- */

#define SPARED_MAX 16

struct faults {
    const char *directory;
    char spared[SPARED_MAX][64]; /* a bystander's files */
    unsigned spared_count;
    uint64_t state; /* random */
    int64_t next_ns, resume_ns;
    pid_t stopped;
    bool is_full;
    unsigned done;
};

#define ROOM_KIB (512 * 1024) /* of a lane's file system while it is not full */

void faults_begin(struct faults *faults, const struct plan *plan, const char *directory);
/* What is in the directory now is not to be touched. */
void faults_spare(struct faults *faults);
/* Do what is due; PIDS are the processes that may be stopped. */
void faults_step(struct faults *faults, const struct plan *plan, const pid_t *pids, unsigned count,
                 struct tally *tally);
void faults_end(struct faults *faults);
bool faults_set_room(const char *directory, uint64_t kib);
int64_t now_ns(void);

/* ---- A round ---- */

struct lane {
    unsigned number;
    char directory[128];
    bool has_own_fs;
    const char *tool; /* `shmq`, for gc */
    const char *keep; /* a directory for the histories of violations */
    struct stage *stage;
};

void round_run(struct lane *lane, const struct plan *plan, struct totals *totals);

#endif
