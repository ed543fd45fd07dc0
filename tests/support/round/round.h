/* SPDX-License-Identifier: MIT */
/*
 * Rounds: processes at one name, some of which die at random instants while messages flow, judged by their
 * histories. A round is a plan: tests/storm draws plans at random, tests/crash/test_kill.c has them written down.
 *
 *     course.c  who is started when, until all have ended; a look at what they left
 *     stage.c   what the processes share, and the names they come to
 *     doom.c    a process's own death, by a timer that sends SIGKILL; heirs that a fork leaves
 *     flow.c    senders and receivers          calls.c  clients and servers
 *     churn.c   those who come and go; bystanders; the probe that a name is still usable
 *     faults.c  what is done from outside: SIGSTOP, a full file system, truncated and unlinked files
 *     judge.c   histories against the contract
 *     level.c   memory, descriptors and files stay level
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
#ifndef SHMQ_TEST_ROUND_H
#define SHMQ_TEST_ROUND_H

#include "../actor.h"

#include <stdatomic.h>

enum {
    ACTORS_MAX = 320,
    ENTRIES = 65536, /* of each history */
    PAIRS_MAX = 16,
    MESSAGES_MAX = 800, /* of one survivor; beyond that it goes on slowly, as others ask for more */
    DEADLINE_MS = 10000,
};

enum kind { SENDERS, RECEIVERS, CALLS, CHURN, TRUNCATE, UNLINK, KINDS };
enum waiting { BY_YIELD, BY_BLOCKING, BY_FD, BY_POLL };

struct plan {
    uint64_t seed, round;
    enum kind kind;
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
    bool settled;     /* all victims die, and not before they have come */
    bool stops, heirs, full, left_dies;
    struct policy policy;
};

struct doom plan_doom(const struct plan *plan, unsigned actor);
void plan_print(const struct plan *plan, int fd);
const char *kind_name(enum kind kind);
/* A receiver's unread messages wait for its successor. */
bool plan_keeps_queue(const struct plan *plan);
/* Messages may be missed, but never the newest. */
bool plan_keeps_newest(const struct plan *plan);

/* ---- What the processes of a round share ---- */

struct stage {
    struct plan plan;
    struct history *history;
    unsigned actors;             /* used so far */
    _Atomic bool finished;       /* no victim comes any more */
    _Atomic bool last_is_here;   /* the receiver or server that stays has met its peer */
    _Atomic bool others_done;    /* who waits for the survivors of the other side may go */
    _Atomic uint64_t mark;       /* the sender's first number after `finished` */
    _Atomic uint64_t end_number; /* its last */
    _Atomic bool reached;        /* the last receiver got one from `mark` on */
    _Atomic unsigned ready;      /* survivors that are attached */
    _Atomic unsigned hungry;     /* grows when a receiver has found nothing */
    _Atomic unsigned heirs;
    _Atomic bool over;                      /* heirs may go, too */
    _Atomic uint64_t turned_away;           /* calls that failed for lack of memory, and said so */
    _Atomic unsigned fd_growth, map_growth; /* of a survivor, see level.c */
    _Atomic(const char *) doing[ACTORS_MAX];
};

struct stage *stage_new(void);
void stage_reset(struct stage *stage, const struct plan *plan);
void stage_clear(struct stage *stage);
void stage_free(struct stage *stage);
/* Messages of actor SENDER that returned and that nobody has got. */
unsigned stage_missing(const struct stage *stage, unsigned sender);

/* ---- An actor, in its own process ---- */

typedef void role_fn(struct actor *actor);

role_fn flow_doomed_sender, flow_surviving_sender, flow_doomed_receiver, flow_surviving_receiver, flow_last_receiver;
role_fn calls_client, calls_server;
role_fn churn_come_and_go, churn_probe, churn_stand_by;

/* Have the actor die if this is the time for it. */
void doom_reached(struct actor *actor, enum phase phase, unsigned some);
/* Wait for death. */
_Noreturn void doom_await(struct actor *actor);

/* Open, set up, bind or connect; as long as memory lacks and the plan says so, again. */
void actor_open(struct actor *actor, bool left);
void actor_close(struct actor *actor);
void actor_says(struct actor *actor, const char *doing);
/* Wait for messages or peers, a few ms at most, as the plan has it. */
void actor_wait(struct actor *actor);
/* The same, for those who do not care who comes and goes. */
void actor_idle(struct actor *actor);

/* ---- Level ---- */

struct level {
    unsigned fds, maps;
};

struct level level_now(void);
/* Note in the stage by how much this survivor has grown. */
void level_note(struct actor *actor, const struct level *before);

/* ---- Results ---- */

struct tally { /* numbers only */
    uint64_t rounds, kills, stops, heirs, restarts, acked, delivered, again, in_hand, lost, turned_away, faults, buses,
        leavings, violations;
};

struct totals {
    struct tally pair[PAIRS_MAX];
    uint64_t kind_kills[KINDS], kind_rounds[KINDS];
    uint64_t phase_kills[NEVER];
    unsigned fd_growth_max, map_growth_max;
    uint64_t files_kept, controller_fds_first, controller_fds_last, rss_first_kib, rss_last_kib, blocks_first,
        blocks_last;
};

void tally_add(struct tally *sum, const struct tally *more);
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
    char directory[128];
    const char *tool; /* `shmq`, for gc; NULL: what is left stays */
    const char *keep; /* a directory for the histories of violations; NULL: none is kept */
    struct stage *stage;
};

/* False: a violation, which is said to stderr. */
bool round_run(struct lane *lane, const struct plan *plan, struct totals *totals);
/* Run a plan that is written down in the directory of this test; a violation is its failure. TALLY: of all such
 * rounds of the pair. */
void round_must_hold(const struct plan *plan, struct tally *tally);

#endif
