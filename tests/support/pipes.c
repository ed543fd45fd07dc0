/* SPDX-License-Identifier: MIT */
/* The suite that runs over all pairs. See ends.h. */
#include "ends.h"

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

int pipe_test_main(const char *group, const struct pipe_test *tests, size_t count, int argc, char **argv)
{
    unsigned pairs = pair_count();
    size_t jobs_max = count * pairs * 2, jobs = 0;
    struct job *job = calloc(jobs_max, sizeof *job);
    struct test *test = calloc(jobs_max, sizeof *test);
    int failed;

    if (!job || !test)
        return 1;
    for (size_t i = 0; i < jobs_max; i++) {
        const struct pair *pair = pair_at((unsigned)(i / 2 % pairs));
        const struct pipe_test *it = &tests[i / 2 / pairs];

        if (it->fits && !it->fits(pair))
            continue;
        job[jobs].test = it;
        job[jobs].pipe = (struct pipe){pair, i % 2 == 1};
        snprintf(job[jobs].name, sizeof job[jobs].name, "%s, %s binds: %s", pair->name, i % 2 ? "right" : "left",
                 it->name);
        test[jobs] = (struct test){job[jobs].name, NULL, run_job, &job[jobs], it->deadline_s};
        jobs++;
    }
    failed = test_main(group, test, jobs, argc, argv);
    free(test);
    free(job);
    return failed;
}
