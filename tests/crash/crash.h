/* SPDX-License-Identifier: MIT */
/*
 * The crash tests: the real, optimized library, one instruction at a time, through every operation,
 * from many start states, in every pattern; killed or frozen wherever the shared memory has changed
 * or the kernel was called; and after each the contract of docs/FAILURE.md.
 *
 *   main      workers, and the end              options    the command line
 *   cases     the list of cases, and one case   table      what is printed
 *   run       one run: set up, step to k, then what        trace      ptrace
 *   access    what an instruction touches       image      what lies in shared memory
 *   cast      the director's side of the actors actor      what they do (with tests/support/actor.h)
 *   states    where a run starts                operations what is stepped
 *   policies  what the sockets were asked for   contract   what must hold after it
 *   second    who meets a fault as well         wrap       ids and tickets of our choice
 *
 * A run is a process of its own, the *director*. It forks the actors and tells them what to do, one
 * at a time, so that everything is repeatable: VICTIM, which is stepped, PEER at the other end,
 * FORMER, which was there before, and newcomers that join after the fault. Actors note in a ledger
 * what they have sent and received.
 *
 * What of a crash is shared changes only by a store into shared memory or by a system call. So a
 * run that records all instructions finds all moments that differ, and the kill points are: before
 * the first instruction, after each that changed the image, after each system call. One that is
 * stopped and goes on remembers what it has read: it is stopped before each access to shared
 * memory, too.
 */
#ifndef SHMQ_CRASH_H
#define SHMQ_CRASH_H

#include "../support/actor.h"

/* ---- What is run ---- */

enum operation_id {
    OP_SEND,
    OP_SEND_LOAN,
    OP_LOAN,
    OP_GROW,
    OP_RECV,
    OP_VIEW,
    OP_RELEASE,
    OP_CONNECT,
    OP_BIND,
    OP_MEET,
    OP_DETACH,
    OP_CLOSE,
    OP_SUBSCRIBE,
    OP_UNSUBSCRIBE,
    OP_NOTICE,
    OP_ADOPT,
    OP_TAKEOVER,
    OP_REAP,
    OPERATIONS,
};

struct operation {
    const char *name;
    const char *what;
    bool left, right; /* which end the victim may have */
    bool comes;       /* it takes a place in which FORMER was */
    bool former_dies; /* killed rather than closed */
};

enum { FULL = -1 }; /* of struct state: as many as there is room for */

struct state {
    const char *name;
    int laps, passed; /* messages through the ring before: whole laps, and more */
    int queued;       /* messages that are in it */
    unsigned size, parts;
    uint64_t first; /* ticket */
    int mark;       /* high-water mark; 0: 8 */
    bool fast;      /* all of the ring has memory, and messages have gone both ways of the fast way */
    bool protected; /* the receiver holds a view */
    bool grown;     /* a block beyond the first extent was in use */
    bool parked;    /* the peer sleeps in a receive */
    bool watched;   /* the peer has its descriptor and waits on it */
    bool alone;     /* the victim connects where nobody is bound, and queues */
    bool lapped;    /* a PUB has gone round its subscriber */
    bool ghost;     /* a third socket died at the name before */
    bool begun;     /* the left end has sent the first part of a message */
    bool half;      /* the right end has received the first part of one */
    bool elsewhere; /* each is bound to a name of its own, too, where nobody comes */
};

enum policy_id {
    PLAIN,
    CONFLATE,
    LOSSLESS,
    HISTORY,
    RESEND,
    NO_REDELIVERY,
    TURNS,
    KEYED,
    SEALED,
    POLICIES,
};

struct scenario {
    const struct operation *operation;
    const struct pair *pair;
    const struct state *state;
    enum policy_id policy;
    bool right_binds, victim_is_left;
};

extern const struct operation operations[OPERATIONS];
extern const struct state states[];
extern const size_t state_count;
enum { CRASH_PAIRS = 9 };
const struct pair *crash_pair(size_t index); /* those that are stepped */

bool operation_fits(const struct scenario *scenario);
bool state_fits(const struct scenario *scenario);

struct ledger;
extern const char *const policy_names[POLICIES];
bool policy_fits(const struct scenario *scenario);
struct policy policy_of(const struct scenario *scenario);
size_t message_size(const struct scenario *scenario); /* all parts */
bool publishes(const struct scenario *scenario);
bool keeps_queue(const struct scenario *scenario);
void policy_expect(const struct scenario *scenario, struct ledger *ledger);
int batch_of(const struct scenario *scenario);

enum mode {
    MODE_RECORD,
    MODE_KILL,
    MODE_FREEZE,
    MODE_CLOSE,
    MODE_JOIN,
    MODE_REPLACE,
    /* with a second fault, see second.c */
    MODE_KILL_PEER,
    MODE_KILL_NEXT,
    MODE_FREEZE_BOTH,
    MODE_COUNT,
    MODES,
};

/* ---- Actors ---- */

enum who { VICTIM, PEER, FORMER, GHOST, NEXT_LEFT, NEXT_RIGHT, SECOND, ACTORS };

/* In memory that the actors of a run share. */
struct got {
    uint8_t by, from;
    bool again;
    uint64_t number;
};

enum { GOTS_MAX = 40000 };

struct ledger {
    struct {
        uint64_t called, acked; /* the last that a send was called for, and returned for */
        uint64_t may_lack;      /* up to here none need arrive: their receiver went with them */
        uint64_t in_hand;       /* this one may be missing, or come twice: its receiver died with it */
        uint64_t second_hand;   /* likewise: SECOND's */
        uint64_t half;          /* likewise: received in part */
        uint64_t begun;         /* sent in part, the rest perhaps to nobody: may be missing */
    } from[ACTORS];
    bool lapses;      /* the receiver may miss some, and is told how many */
    bool conflates;   /* the receiver may miss all but the last */
    bool shares;      /* two receivers at a time: the order holds for each */
    bool repeats;     /* a newcomer may get what others got before */
    bool never_again; /* nobody gets what another got before, in any case */
    uint32_t count;
    struct got got[GOTS_MAX];
};

enum verb {
    V_OPEN,
    V_ATTACH,
    V_TRY,
    V_LOOK,
    V_SEND,
    V_RECEIVE,
    V_BEGIN,
    V_COMPLETE,
    V_HALF,
    V_TURN,
    V_HOLD,
    V_RELEASE,
    V_CHECK,
    V_PARK,
    V_LOST,
    V_WATCH,
    V_GROW,
    V_INSPECT,
    V_SLOTS,
    V_CLOSE,
    V_PREPARE,
    V_STEP,
    V_SECOND,
    V_REPLY,
    VERBS,
};

void actor_start(enum who who, const struct scenario *scenario, struct ledger *ledger, bool is_left, bool traced);
bool actor_lives(enum who who);
bool actor_was_killed(enum who who);
unsigned char actor_letter(enum who who); /* its ids begin with it */
pid_t actor_pid(enum who who);
int64_t tell(enum who who, enum verb verb, int count);
void tell_only(enum who who, enum verb verb, int count);
int64_t hear(enum who who);
void actor_kill(enum who who);
void actor_await_asleep(enum who who); /* in the kernel, on a futex */
void actor_end(enum who who);          /* closed already; its process ends */
const char *actor_name(enum who who);

/* In an actor's process. */
struct role {
    struct actor actor;
    enum who who;
    const struct scenario *scenario;
    struct ledger *ledger;
    bool attached;
    uint64_t begun;            /* a message of which the first part was sent */
    unsigned char bytes[4096]; /* the message that is sent or received */
    unsigned char half[2048];  /* the first part of a message that was not received further */
    size_t half_size;
    /* the operation */
    shm_msg_t view, loan;
    bool has_view, has_loan;
    bool was_begun, was_half; /* the first part was sent, was received, before */
    int64_t result;
    int error;
};

_Noreturn void actor_play(struct child *line, enum who who, const struct scenario *scenario, struct ledger *ledger,
                          bool is_left, bool traced);
void message_make(struct role *role, uint64_t number);
void message_note(struct role *role, const void *bytes, size_t size, bool again);
/* Receive what follows the GOT bytes of a part, with BEFORE bytes of other parts before, and note the message. */
void take_rest(struct role *role, size_t before, size_t got);
void forget_half(struct role *role);
bool send_other_parts(struct role *role);

/* The victim's side of an operation; in operations.c. Prepare and finish are not stepped. */
bool operation_sends(const struct scenario *scenario);
bool operation_receives(const struct scenario *scenario);
void operation_prepare(struct role *role);
void operation_do(struct role *role);
int64_t operation_finish(struct role *role); /* whether something was received, which may be to be answered */

void expect_next(struct ledger *ledger);
uint64_t next_of(const struct ledger *ledger, enum who from); /* that nobody has noted */
bool ends_have_turns(const struct scenario *scenario);        /* one at a time: REQ */

/* ---- Tracing ---- */

/* Wait for the victim to reach its marker; step it; each says whether it has come to the next one.
 */
void trace_begin(pid_t pid);
void trace_turn_to(pid_t pid); /* one that has begun, and is stopped */
bool trace_at_end(void);
bool trace_at_syscall(void);
void trace_step(void);
void trace_go(uint64_t to, uint32_t visits); /* without stepping: there, having been there so often */
void trace_finish(void);                     /* run to the marker, and let go */
uint64_t trace_place(void);
bool trace_at_access(void); /* to shared memory, by the next instruction */
void trace_scan(const char *directory);

struct user_regs_struct;
void access_scan(pid_t pid, const char *directory);
bool access_is_next(const unsigned char *code, const struct user_regs_struct *regs);

enum { EXIT_UNREPEATABLE = 3 };
_Noreturn void does_not_repeat(void);

uint64_t image_hash(void);
void image_scan(const char *directory);

/* ---- A run ---- */

struct point {
    uint64_t step;   /* instructions before it */
    uint64_t place;  /* of the next one; 0: not known */
    uint32_t visits; /* how often it has come there before; UINT32_MAX: to be found by steps only */
};

struct record {
    bool skipped; /* there is nothing for the operation to do */
    uint64_t instructions;
    uint32_t images, count, look_count;
    struct point points[20000]; /* to be killed at */
    struct point looks[20000];  /* to be stopped at: before it looks at, or changes, what is shared */
};

struct run {
    struct scenario scenario;
    enum mode mode;
    struct point first, second; /* where the victim, and then another, meet the fault */
    bool records_second;        /* no fault there, it is recorded */
    struct record *record;
    struct ledger *ledger;
    enum who left, right; /* who has which end now; ACTORS: nobody */
    bool met;             /* the two were linked when the operation began */
    bool came;            /* a newcomer, while the victim was stopped */
    bool waits;           /* it found the place taken, and tries again */
    bool strict;          /* nobody was killed: no file may be left */
    int slots;
};

void run_here(struct run *run); /* never comes back if something is wrong */
void setup(struct run *run);
void contract(struct run *run);
void record_all(struct record *record);
void step_to(const struct point *point);
bool mode_kills(enum mode mode);
bool leaves(const struct scenario *scenario);
void kill_one(struct run *run, enum who who);
bool second_fits(const struct scenario *scenario, enum mode mode);
void second_kill(struct run *run);
void second_freeze(struct run *run);
void second_go_on(struct run *run);
void meet(enum who a, enum who b);
enum who open_newcomer(struct run *run, bool is_left);
void excuse(struct run *run);                                /* what goes with a receiver that has gone */
void pass(enum who from, enum who to, int count, int batch); /* messages, in batches, all of which arrive */
void await_parked(struct run *run);

#endif
