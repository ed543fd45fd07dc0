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

struct child pipe_child(const struct pipe *pipe, void (*function)(struct child *up, void *pipe))
{
    return child_start(function, (void *)(uintptr_t)pipe);
}

void pipe_run(const struct pipe *pipe, int hwm, met_body *body)
{
    struct end left, right;

    pipe_start_hwm(&left, &right, pipe, hwm);
    body(pipe, &left, &right);
    pipe_close(&left, &right);
}

enum { TRAFFIC = 200, TRAFFIC_MAX = 3 << 20 };

static size_t size_in_traffic(unsigned i)
{
    return i == 77 ? TRAFFIC_MAX : i % 2 ? 64 : 20000;
}

void end_send_traffic(struct end *left)
{
    unsigned char *bytes = CHECK_PTR(malloc(TRAFFIC_MAX));

    for (unsigned i = 0; i < TRAFFIC; i++) {
        pattern_fill(bytes, size_in_traffic(i), i);
        CHECK_INT(end_send(left, bytes, size_in_traffic(i), 0), size_in_traffic(i));
        end_take_turn(left);
    }
    free(bytes);
}

void end_receive_traffic(struct end *right)
{
    unsigned char *bytes = CHECK_PTR(malloc(TRAFFIC_MAX));

    for (unsigned i = 0; i < TRAFFIC; i++) {
        CHECK_INT(end_recv(right, bytes, TRAFFIC_MAX, 0), size_in_traffic(i));
        pattern_check(bytes, size_in_traffic(i), i);
        end_give_turn(right);
    }
    free(bytes);
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
