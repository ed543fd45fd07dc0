/* SPDX-License-Identifier: MIT */
/*
 * Life locks: who of those who share a file is alive, as the kernel knows it.
 *
 * A life lock is a write lock of an open file description on one byte of a file. Its holder closes the descriptor
 * and keeps the mapping, which keeps the description: so the kernel drops the lock when the last mapping goes, by
 * munmap() or by the death of the process, whichever way it dies. A forked child does not get the mapping; other
 * PID namespaces see the lock; a stopped process keeps it. Nothing is ever decided by time or by pid.
 *
 *   file               byte                        says that
 *   <id>.seg           SEGMENT_BYTE_OWNER          the socket lives                  (segment_layout.h)
 *   <id>.claims        CLAIMS_BYTE_OWNER + owner   this reader lives                 (claims.h)
 *   <name>.ep          ENDPOINT_BYTE_BINDER        a binder is there, and lives      (endpoint_layout.h)
 *                      ENDPOINT_BYTE_SLOT + slot   the connector in this place does
 *                      all bytes at once           nobody does: the file is being removed
 *
 * To unlock is a release and to find the lock free an acquire, by the kernel's own spinlock: who finds somebody
 * dead sees all that the dead one stored.
 *
 * The descriptor that asks must be of another open file description than the lock's: one's own does not count.
 */
#ifndef SHMQ_TRANSPORT_LIFE_H
#define SHMQ_TRANSPORT_LIFE_H

#include <errno.h>

#include "transport/os.h"

/* Hold BYTE as long as a mapping of FD is there. -EAGAIN: somebody else does. */
static inline int life_take(int fd, uint64_t byte)
{
    return os_lock(fd, byte, 1, OS_WRITE);
}

/* Earlier than that. */
static inline void life_give(int fd, uint64_t byte)
{
    os_unlock(fd, byte, 1);
}

/* Is one of these bytes held by somebody else? Also true when that cannot be found out: nobody is dead for that. */
static inline bool life_is_held(int fd, uint64_t byte, uint64_t count)
{
    return os_is_locked(fd, byte, count) != 0;
}

/* Does the mapping, by now the only holder, keep the lock? On an overlay it keeps the file below, and the lock went
 * with the descriptor: there everybody would seem to be dead. */
static inline int life_check(int fd, uint64_t byte)
{
    int locked = os_is_locked(fd, byte, 1);
    return locked < 0 ? locked : locked ? 0 : -EOPNOTSUPP;
}

#endif
