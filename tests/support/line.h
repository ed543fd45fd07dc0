/* SPDX-License-Identifier: MIT */
/*
 * A line: a pair of Unix sockets, by which sockets are handed over (shm_handover()); and what passes over it by
 * hand, bytes with descriptors. Nothing is checked here, so that fuzz targets can use it as well.
 */
#ifndef SHMQ_TEST_LINE_H
#define SHMQ_TEST_LINE_H

#include <stddef.h>
#include <sys/types.h>

enum { LINE_FDS_MAX = 16 };

struct letter {
    unsigned char bytes[256];
    int fds[LINE_FDS_MAX];
    unsigned count; /* of descriptors */
};

/* As socketpair(). */
int line_make(int line[2]);
void line_drop(int line[2]);
/* Without waiting, and without a signal; as sendmsg(). */
ssize_t line_send(int end, const void *bytes, size_t size, const int *fds, unsigned count);
/* At most SIZE bytes, and the descriptors that come with them; as recvmsg() with FLAGS. */
ssize_t line_recv(int end, struct letter *letter, size_t size, int flags);
void letter_close(struct letter *letter);

#endif
