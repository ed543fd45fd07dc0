/* SPDX-License-Identifier: MIT */
/* The director's side of the actors: who there is, and what each is told. Nothing they are told to do waits, but to
 * park; so a reply that does not come is a hang. */
#include "crash.h"

#include <fcntl.h>
#include <sched.h>

enum { REPLY_DEADLINE_MS = 10000 };

static struct {
    struct child line;
    bool killed;
} cast[ACTORS];

const char *actor_name(enum who who)
{
    static const char *const names[] = {"VICTIM",    "PEER",       "FORMER", "GHOST",
                                        "NEXT_LEFT", "NEXT_RIGHT", "SECOND", "nobody"};
    return names[who];
}

unsigned char actor_letter(enum who who)
{
    return (unsigned char)"VPFGLRS"[who];
}

bool actor_lives(enum who who)
{
    return who < ACTORS && cast[who].line.pid > 1;
}

bool actor_was_killed(enum who who)
{
    return cast[who].killed;
}

pid_t actor_pid(enum who who)
{
    return cast[who].line.pid;
}

void actor_start(enum who who, const struct scenario *scenario, struct ledger *ledger, bool is_left, bool traced)
{
    struct child line;

    CHECK(!actor_lives(who));
    if (child_fork(&line, true) == 0)
        actor_play(&line, who, scenario, ledger, is_left, traced);
    cast[who].line = line;
}

void tell_only(enum who who, enum verb verb, int count)
{
    CHECK(actor_lives(who));
    child_say(&cast[who].line, (uint64_t)verb << 32 | (uint32_t)count);
}

int64_t hear(enum who who)
{
    uint64_t value;

    if (!child_speaks_within(&cast[who].line, REPLY_DEADLINE_MS))
        FAIL("%s hangs", actor_name(who));
    if (!child_listen(&cast[who].line, &value))
        FAIL("%s has ended", actor_name(who));
    return (int64_t)value;
}

int64_t tell(enum who who, enum verb verb, int count)
{
    tell_only(who, verb, count);
    return hear(who);
}

void actor_kill(enum who who)
{
    child_kill(&cast[who].line);
    cast[who].killed = true;
}

void actor_end(enum who who)
{
    child_hang_up(&cast[who].line);
}

void actor_await_asleep(enum who who)
{
    int64_t end = now_ms() + REPLY_DEADLINE_MS;
    char path[64], call[32] = "";

    snprintf(path, sizeof path, "/proc/%d/syscall", (int)actor_pid(who));
    while (strncmp(call, "202 ", 4) != 0 && strncmp(call, "449 ", 4) != 0) { /* futex, futex_waitv */
        int fd = (int)CHECK_OK(open(path, O_RDONLY | O_CLOEXEC));
        ssize_t n = read(fd, call, sizeof call - 1);

        call[n > 0 ? n : 0] = '\0';
        close(fd);
        CHECK(now_ms() < end);
        sched_yield();
    }
}
