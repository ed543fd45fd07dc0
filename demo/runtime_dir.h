/* SPDX-License-Identifier: MIT */
/* A private runtime directory for one run: $SHMQ_DIR points into it, nothing of it remains. */
#ifndef DEMO_RUNTIME_DIR_H
#define DEMO_RUNTIME_DIR_H

/* Make /dev/shm/shmq-demo.XXXXXX with a folder "shmq" for the library. Returns the path of the
 * former (static), or NULL with errno. */
const char *runtime_dir_new(void);

/* How many files the library has in it now; each is named on stdout. */
int runtime_dir_leavings(void);

/* Remove it with all that is in it. Harmless when there is none. */
void runtime_dir_free(void);

#endif
