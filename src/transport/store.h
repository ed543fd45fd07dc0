/* SPDX-License-Identifier: MIT */
/*
 * Stores: where a socket's files are, under which names. Two implementations of one table:
 *
 *   store_directory.c   the runtime directory (os_directory.h): whoever may enter it finds the files by their names.
 *                       One per process and path, shared by its sockets.
 *   store_memfd.c       memfds under names in this process alone (SHM_MEMFD), one store per socket: who shall use
 *                       them is sent their descriptors, and takes them into its own store (core/handover.c).
 *
 * Files follow their store. In a directory of mode 0700 they have mode 0600; in a group's (02770) they have its
 * group, and mode 0640 or 0660, as OTHERS says. A memfd that gets its name is sealed: nobody can make it shorter
 * under its readers (SIGBUS) or longer; one that only its owner writes, against all writing but that of the mappings
 * which are there.
 *
 * Everything returns 0 or more, or a negative errno.
 */
#ifndef SHMQ_TRANSPORT_STORE_H
#define SHMQ_TRANSPORT_STORE_H

#include "transport/os.h"

#define STORE_FIFO 2 /* beside OS_READ, a file that its owner alone writes, and OS_WRITE, one that all write */

struct store;
typedef bool store_is_it(const void *context, const char *name);

struct store_ops {
    bool has_names;   /* who looks for a file finds it by its name */
    uint64_t ceiling; /* store_ceiling() */
    int (*file_new)(struct store *store, size_t size);
    int (*file_link)(struct store *store, int fd, const char *name, int others);
    void (*file_unlink)(struct store *store, const char *name);
    int (*file_open)(struct store *store, const char *name, int access);
    int (*file_same)(struct store *store, const char *name, int fd);
    int (*file_find)(struct store *store, const char *suffix, store_is_it *is_it, const void *context); /* has_names */
    bool (*path)(struct store *store, const char *name, bool plain, char *path, size_t size);
    int (*fifo_new)(struct store *store, const char *name);
    void (*fifo_raise)(struct store *store, const char *name);
    int (*lend)(struct store *store, const char *name, int kind);         /* not has_names */
    int (*take)(struct store *store, const char *name, int fd, int kind); /* not has_names */
    void (*leave)(struct store *store);  /* nobody uses it any more: let nobody find it. NULL ok; under a lock */
    void (*free)(struct store *store);   /* after that */
    void (*forget)(struct store *store); /* store_forget() */
};

struct store {
    const struct store_ops *ops;
    unsigned refs; /* under PROCESS_LOCK_STORES */
};

/* ---- stores ---- */

/* The runtime directory, made if need be. -EPERM: not ours, open to others, or not a directory; -EINVAL: no such
 * group. */
int store_open(struct store **store);
/* A memfd store of its own. */
int store_open_memfd(struct store **store);
/* The directory of this PATH, checked as the runtime directory is, but never made: for tools. */
int store_look(struct store **store, const char *path);
int store_directory_fd(const struct store *store); /* of that one */

struct store *store_ref(struct store *store);
/* The last one to leave removes the default directory when it is empty. */
void store_close(struct store *store);
/* In a child, of its parent's: the descriptors of a memfd store are closed, a directory stays. */
void store_forget(struct store *store);

bool store_has_names(const struct store *store);

/* 0: a file can be made longer at any time. Else it has this size, sparse, and must be mapped for writing by its
 * owner, before it is linked. */
uint64_t store_ceiling(const struct store *store);

/* ---- files ---- */

/* A file without a name, SIZE bytes long; visible, and to those whom it is for, once linked. */
int store_file_new(struct store *store, size_t size);
int store_file_link(struct store *store, int fd, const char *name, int others); /* -EEXIST: the name is taken */
void store_file_unlink(struct store *store, const char *name);

/* Another open file description of it, as locks need it. Refused is what is not a plain file of ours (-EPERM): a
 * symlink, a FIFO, a hard link, another owner or group, a mode open to others. */
int store_file_open(struct store *store, const char *name, int access);
int store_file_same(struct store *store, const char *name, int fd); /* 1 the name means this file, 0 not */
/* Ask about each file whose name ends so, until one is IT: 1; 0 none is. Of a store with names. */
int store_file_find(struct store *store, const char *suffix, store_is_it *is_it, const void *context);
/* Have WATCH (os.h) tell of this file. */
bool store_watch(struct store *store, const char *name, int watch, enum os_watch what);

/* A FIFO, for who waits on a descriptor: the end that is waited on; and a byte put into it. Who has no descriptor
 * left to open it with changes its times instead, so watch it for that (OS_WATCH_TIMES), too. */
int store_fifo_new(struct store *store, const char *name);
void store_fifo_raise(struct store *store, const char *name);

/* ---- what is handed over, between stores without names ---- */

/* The descriptor under a name, for sending it away: the store keeps it. -ENOENT; a STORE_FIFO is made then. */
int store_lend(struct store *store, const char *name, int kind);
/* Take a peer's descriptor, whatever comes of it. -EPROTO: it is something else than KIND, or not sealed as it must
 * be; -EEXIST. */
int store_take(struct store *store, const char *name, int fd, int kind);

#endif
