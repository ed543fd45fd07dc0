/* SPDX-License-Identifier: MIT */
/* A private runtime directory for one run: $SHMQ_DIR points into it, and nothing of it remains. */
#ifndef DEMO_RUNTIME_DIR_H
#define DEMO_RUNTIME_DIR_H

/* Make /dev/shm/shmq-demo.XXXXXX with a folder "shmq" for the library. Returns the former's
 * path (static), or NULL with errno. */
const char *runtime_dir_new(void);

/* How many files the library has in it now; prints each one's name. */
int runtime_dir_leavings(void);

/* Remove it and all its contents. Harmless if there is none. */
void runtime_dir_free(void);

#endif
