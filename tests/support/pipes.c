/* SPDX-License-Identifier: MIT */
/* The table of patterns, and the suite that runs over it. See ends.h. */
#include "ends.h"

static const struct pair pairs[] = {
    {SHM_PAIR, SHM_PAIR, "PAIR/PAIR", true, false, true},
    {SHM_PUB, SHM_SUB, "PUB/SUB", false, false, false},
    {SHM_PUB, SHM_XSUB, "PUB/XSUB", false, false, false},
    {SHM_XPUB, SHM_SUB, "XPUB/SUB", false, false, false},
    {SHM_XPUB, SHM_XSUB, "XPUB/XSUB", false, false, false},
    {SHM_REQ, SHM_REP, "REQ/REP", true, true, false},
    {SHM_REQ, SHM_ROUTER, "REQ/ROUTER", true, true, false},
    {SHM_DEALER, SHM_REP, "DEALER/REP", true, true, true},
    {SHM_DEALER, SHM_ROUTER, "DEALER/ROUTER", true, false, true},
    {SHM_DEALER, SHM_DEALER, "DEALER/DEALER", true, false, true},
    {SHM_ROUTER, SHM_ROUTER, "ROUTER/ROUTER", true, false, true},
    {SHM_PUSH, SHM_PULL, "PUSH/PULL", false, false, true},
};

const struct pair *pair_at(unsigned index, unsigned *count)
{
    *count = COUNT_OF(pairs);
    return &pairs[index % COUNT_OF(pairs)];
}

bool pair_is_two_way(const struct pair *pair)
{
    return pair->two_way;
}

bool pair_waits(const struct pair *pair)
{
    return pair->waits;
}

bool pair_has_no_turns(const struct pair *pair)
{
    return !pair->turns;
}

struct job {
    const struct pipe_test *test;
    struct pipe pipe;
    char name[160];
};

static void run_job(const void *argument)
{
    const struct job *job = argument;

    job->test->body(&job->pipe);
}

int pipe_test_main(const char *group, const struct pipe_test *tests, size_t count, int argc,
                   char **argv)
{
    size_t jobs_max = count * COUNT_OF(pairs) * 2, jobs = 0;
    struct job *job = calloc(jobs_max, sizeof *job);
    struct test *test = calloc(jobs_max, sizeof *test);
    int failed;

    if (!job || !test)
        return 1;
    for (size_t i = 0; i < jobs_max; i++) {
        const struct pair *pair = &pairs[i / 2 % COUNT_OF(pairs)];
        const struct pipe_test *it = &tests[i / 2 / COUNT_OF(pairs)];

        if (it->fits && !it->fits(pair))
            continue;
        job[jobs].test = it;
        job[jobs].pipe = (struct pipe){pair, i % 2 == 1};
        snprintf(job[jobs].name, sizeof job[jobs].name, "%s, %s binds: %s", pair->name,
                 i % 2 ? "right" : "left", it->name);
        test[jobs] = (struct test){job[jobs].name, NULL, run_job, &job[jobs], it->deadline_s};
        jobs++;
    }
    failed = test_main(group, test, jobs, argc, argv);
    free(test);
    free(job);
    return failed;
}
