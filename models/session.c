/* SPDX-License-Identifier: MIT */
/*
 * Proofs of sockets with a key (core/session.c): a seqlock in the pipe record.
 *
 * One side proves twice, to two challenges; the other reads once, at any time.
 * Shown: what is read is one proof, with the statement that it is for, or none.
 *
 * run: -DPROOFS=2                     two proofs under one reader
 */
#include "shared.h"

#include <sys/types.h>

#define memset(p, v, n) ((void)(p)) /* all that is looked at is set afterwards */
#define memcmp(a, b, n) 0

#define RUNS_SESSION
#include "sources.h"

static struct pipe_record record;
static struct segment_header header;
static struct remote remote = {.header = &header};
static struct peer peer = {.remote = &remote};
static struct shm_socket reader_socket;
static struct pipe pipe_of_reader = {.socket = &reader_socket, .peer = &peer, .theirs = &record};

/* Number N is all made of N. */
model_thread(prover)
{
    for (uint64_t n = 1; n <= PROOFS; n++) {
        struct pipe_statement statement;
        uint64_t proof[2] = {n, n};
        statement.challenge[0] = statement.challenge[1] = statement.session = statement.start = n;
        statement.kind = (uint32_t)n;
        write_proof(&record, &statement, (const uint8_t *)proof);
    }
    return NULL;
}

model_thread(verifier)
{
    struct pipe_statement statement;
    uint64_t proof[2];
    if (!read_proof(&pipe_of_reader, &statement, (uint8_t *)proof))
        return NULL;
    uint64_t n = proof[0];
    assert(n <= PROOFS && proof[1] == n && statement.challenge[0] == n && statement.challenge[1] == n &&
           statement.session == n && statement.start == n && statement.kind == n);
    return NULL;
}

int main(void)
{
    pthread_t a, b;
    pthread_create(&a, NULL, prover, NULL);
    pthread_create(&b, NULL, verifier, NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    return 0;
}
