/* SPDX-License-Identifier: MIT */
/*
 * The demo's processes, each started with a role, a name and a deadline. None outlives the parent.
 */
#ifndef DEMO_CHILD_H
#define DEMO_CHILD_H

#include "board.h"

typedef void child_role_t(struct board *board, int number);

/*
 * Fork a process that runs ROLE and exits with 0 when that returns. SIGALRM kills it after DEADLINE_S
 * seconds, SIGKILL when the parent ends. Returns its pid, or -1 with errno.
 */
pid_t child_start(struct board *board, const char *name, int number, child_role_t *role,
                  unsigned deadline_s);

/* Kill a process on purpose: its end will not count as a failure. */
void child_kill(pid_t pid);

void child_kill_all(void);

/* Note which processes have ended. Returns how many still run. */
int child_reap(void);

/* Wait for all of them until DEADLINE_NS, then kill those that are left: that counts as a failure. */
void child_wait_all(uint64_t deadline_ns);

/* How many have ended with anything but exit status 0; each was reported on stderr. */
int child_failures(void);

/* In a child: report "shmq-demo: NAME: WHAT: errno's text" and exit with 1. */
_Noreturn void die(const char *what);

#endif
