/* SPDX-License-Identifier: MIT */
/*
 * ptrace: one instruction after the other. The victim marks the begin and the end of its operation
 * with int3. It is a fork of the director, so the director reads the victim's code in its own
 * memory.
 */
#include "crash.h"

#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

static pid_t traced;
static uint64_t place;

static void look(void)
{
    errno = 0;
    place = (uint64_t)ptrace(PTRACE_PEEKUSER, traced, offsetof(struct user_regs_struct, rip), NULL);
    CHECK_INT(errno, 0);
}

static void await_stop(void)
{
    int status;

    CHECK_INT(waitpid(traced, &status, __WALL), traced);
    if (!WIFSTOPPED(status))
        FAIL("the stepped process has ended: status 0x%x", (unsigned)status);
    if (WSTOPSIG(status) != SIGTRAP) {
        look();
        FAIL("the stepped process got signal %d (%s) at %#llx", WSTOPSIG(status), strsignal(WSTOPSIG(status)),
             (unsigned long long)place);
    }
}

/* It went another way than when it was recorded: nothing is shown by this run. */
_Noreturn void does_not_repeat(void)
{
    _exit(EXIT_UNREPEATABLE);
}

void trace_begin(pid_t pid)
{
    CHECK(pid > 1);
    traced = pid;
    await_stop();
    CHECK_OK(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL));
    look();
}

void trace_turn_to(pid_t pid)
{
    traced = pid;
    look();
}

static const unsigned char *code(void)
{
    return (const unsigned char *)place;
}

bool trace_at_end(void)
{
    return code()[0] == 0xcc;
}

bool trace_at_syscall(void)
{
    return code()[0] == 0x0f && code()[1] == 0x05;
}

uint64_t trace_place(void)
{
    return place;
}

bool trace_at_access(void)
{
    struct user_regs_struct regs;

    CHECK_OK(ptrace(PTRACE_GETREGS, traced, NULL, &regs));
    return access_is_next(code(), &regs);
}

void trace_scan(const char *directory)
{
    access_scan(traced, directory);
}

void trace_step(void)
{
    CHECK_OK(ptrace(PTRACE_SINGLESTEP, traced, NULL, NULL));
    await_stop();
    look();
}

void trace_finish(void)
{
    CHECK_OK(ptrace(PTRACE_CONT, traced, NULL, NULL));
    await_stop();
    CHECK_OK(ptrace(PTRACE_DETACH, traced, NULL, NULL));
}

/* ---- breakpoints ---- */

static void set_place(uint64_t to)
{
    CHECK_OK(ptrace(PTRACE_POKEUSER, traced, offsetof(struct user_regs_struct, rip), to));
    place = to;
}

static void go_once(uint64_t to)
{
    uint64_t at = to & ~UINT64_C(7), word, with;
    unsigned shift = 8 * (unsigned)(to & 7);

    errno = 0;
    word = (uint64_t)ptrace(PTRACE_PEEKTEXT, traced, at, NULL);
    CHECK_INT(errno, 0);
    with = (word & ~(UINT64_C(0xff) << shift)) | UINT64_C(0xcc) << shift;
    CHECK_OK(ptrace(PTRACE_POKETEXT, traced, at, with));
    CHECK_OK(ptrace(PTRACE_CONT, traced, NULL, NULL));
    await_stop();
    look();
    CHECK_OK(ptrace(PTRACE_POKETEXT, traced, at, word));
    if (place != to + 1)
        does_not_repeat();
    set_place(to);
}

void trace_go(uint64_t to, uint32_t visits)
{
    if (place == to && visits == 0)
        return;
    if (place == to)
        visits--, trace_step();
    for (go_once(to); visits > 0; visits--) {
        trace_step();
        go_once(to);
    }
}
