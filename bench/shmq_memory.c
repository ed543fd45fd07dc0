/* SPDX-License-Identifier: MIT */
/*
 * The memory of two connected, idle sockets in two processes after a message each way: the blocks of their
 * files, which are memory, and what their processes grew by in addition.
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "pair.h"
#include "place.h"
#include "shmq_lane.h"
#include "table.h"

struct usage {
    double heap;    /* in use by malloc() */
    double unnamed; /* other resident private mappings */
    double mapped;  /* resident pages of the files: the same memory as their blocks */
};

struct memory {
    const struct bench *bench;
    struct usage grown[2];
    double files;
};

/* Does this line of smaps begin a mapping, and of what? */
static double *slot_of(const char *line, const char *directory, struct usage *usage)
{
    unsigned long start, end, inode;
    char path[256] = "";

    if (sscanf(line, "%lx-%lx %*s %*s %*s %lu %255s", &start, &end, &inode, path) < 3)
        return NULL;
    if (strncmp(path, directory, strlen(directory)) == 0 || strncmp(path, "/memfd:", 7) == 0)
        return &usage->mapped;
    return path[0] == '\0' ? &usage->unnamed : NULL;
}

static struct usage usage_now(const char *directory)
{
    static char buffer[4096]; /* the stream's own, so that reading allocates nothing that counts */
    struct usage usage = {0};
    struct mallinfo2 heap = mallinfo2();
    FILE *stream = fopen("/proc/self/smaps", "re");
    double *slot = NULL;
    char line[512];

    usage.heap = (double)(heap.uordblks + heap.hblkhd);
    if (!stream)
        return usage;
    setvbuf(stream, buffer, _IOFBF, sizeof buffer);
    while (fgets(line, sizeof line, stream)) {
        unsigned long kib;

        if (line[0] >= 'A' && line[0] <= 'Z') {
            if (slot && sscanf(line, "Rss: %lu kB", &kib) == 1)
                *slot += 1024.0 * (double)kib;
        } else {
            slot = slot_of(line, directory, &usage);
        }
    }
    fclose(stream);
    return usage;
}

static void body(int side, void *arg)
{
    struct memory *memory = arg;
    const char *directory = memory->bench->shmq_dir;
    struct usage before = usage_now(directory), after;
    shm_socket_t *pair;
    char byte = 0;

    before = usage_now(directory); /* the first call warmed up the C library */
    pair = shmq_socket(SHM_PAIR, SPIN_DEFAULT);
    if (side == 0)
        shmq_bind(pair, "bench/memory");
    else
        shmq_connect(pair, "bench/memory");
    if (shm_send(pair, &byte, 1, 0) != 1 || shm_recv(pair, &byte, 1, 0) != 1)
        shmq_fail("a message each way");
    pair_barrier();
    after = usage_now(directory);
    memory->grown[side] = (struct usage){
        .heap = after.heap - before.heap,
        .unnamed = after.unnamed - before.unnamed,
        .mapped = after.mapped - before.mapped,
    };
    if (side == 0)
        memory->files = place_bytes(memory->bench);
    pair_barrier();
    shm_close(pair);
}

int memory_row(struct bench *bench, const struct row *row)
{
    struct memory *memory = pair_map(sizeof *memory);
    int result;

    if (!memory)
        return bench_failed(bench, "mmap: %s", strerror(errno));
    memory->bench = bench;
    result = pair_run(bench, 2, body, memory);
    if (result == 0) {
        const struct usage *a = &memory->grown[0], *b = &memory->grown[1];
        double own = a->heap + b->heap + a->unnamed + b->unnamed;

        table_figure(&(struct figure){
            .key = "memory_pair",
            .what = "an idle PAIR of sockets, all together",
            .stat = "sum",
            .unit = UNIT_BYTES,
            .ours = memory->files + own,
            .goal = GOAL_AT_MOST,
            .bound = 256 * 1024,
        });
        table_figure(&(struct figure){.key = "memory_pair_files",
                                      .what = "  shared files",
                                      .stat = "",
                                      .unit = UNIT_BYTES,
                                      .ours = memory->files});
        table_figure(&(struct figure){.key = "memory_pair_private",
                                      .what = "  private to the two processes",
                                      .stat = "",
                                      .unit = UNIT_BYTES,
                                      .ours = own});
        table_figure(&(struct figure){.key = "memory_pair_mapped",
                                      .what = "  (mapped pages of those files, twice)",
                                      .stat = "",
                                      .unit = UNIT_BYTES,
                                      .ours = a->mapped + b->mapped});
    }
    pair_unmap(memory, sizeof *memory);
    return result;
}
