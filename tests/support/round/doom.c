/* SPDX-License-Identifier: MIT */
/*
 * A process's own death: a timer of the kernel whose signal is SIGKILL. It strikes between any two
 * instructions, at a random instant after a chosen step, without anybody having to watch for it.
 * And heirs: forked children that live on with what they inherited, and must not matter.
 */
#include "round.h"

#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

static void arm(uint32_t delay_ns)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec when = {.it_value = {0, (long)delay_ns}};
    timer_t timer;

    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    CHECK_OK(timer_settime(timer, 0, &when, NULL));
}

/* Its calls are refused; it may close its copy, or not, and stays until the round is over. */
static void leave_heir(struct actor *actor)
{
    struct stage *stage = actor->stage;
    bool closes = actor->doom.delay_ns % 2;
    char byte = 0;
    pid_t pid;

    if (!actor->end.socket)
        return;
    pid = (pid_t)CHECK_OK(fork());
    if (pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, 0);
    stage->heirs++;
    if (shm_send(actor->end.socket, &byte, 1, 0) != -1 || (errno != EFORKED && errno != ENOTSUP))
        FAIL("a heir's call was not refused: %s", shm_strerror(errno));
    if (closes)
        shm_close(actor->end.socket);
    while (!stage->over)
        rest_us(1000);
    _exit(0);
}

void doom_reached(struct actor *actor, enum phase phase, unsigned some)
{
    if (!actor->doomed || actor->doom.phase != phase || (phase == AFTER_SOME && some != actor->doom.some))
        return;
    if (actor->doom.leaves_heir && phase != AT_START)
        leave_heir(actor);
    arm(actor->doom.delay_ns);
    actor->is_armed = true;
}

_Noreturn void doom_await(struct actor *actor)
{
    if (!actor->is_armed) /* the time never came: a call was refused */
        arm(actor->doom.delay_ns);
    for (;;)
        pause();
}
