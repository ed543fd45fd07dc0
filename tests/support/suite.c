/* SPDX-License-Identifier: MIT */
#include "suite.h"

#include "ends.h"

static struct suite_test *first;
static size_t bodies, pipe_bodies;

static bool comes_before(const struct suite_test *a, const struct suite_test *b)
{
    int files = strcmp(a->file, b->file);

    return files < 0 || (files == 0 && a->line < b->line);
}

void suite_add(struct suite_test *test)
{
    struct suite_test **at = &first;

    while (*at && !comes_before(test, *at))
        at = &(*at)->next;
    test->next = *at;
    *at = test;
    pipe_bodies += test->pipe_body != NULL;
    bodies += test->pipe_body == NULL;
}

int suite_run(const char *group, int argc, char **argv)
{
    struct test *tests = calloc(bodies + 1, sizeof *tests);
    struct pipe_test *pipe_tests = calloc(pipe_bodies + 1, sizeof *pipe_tests);
    size_t count = 0, pipe_count = 0;
    int failed = 0;

    if (!tests || !pipe_tests)
        return 1;
    for (const struct suite_test *it = first; it; it = it->next)
        if (it->pipe_body)
            pipe_tests[pipe_count++] = (struct pipe_test){it->name, it->pipe_body, it->fits, it->deadline_s};
        else
            tests[count++] = (struct test){it->name, it->body, it->body_with, it->argument, it->deadline_s};
    if (count > 0)
        failed |= test_main(group, tests, count, argc, argv);
    if (pipe_count > 0)
        failed |= pipe_test_main(group, pipe_tests, pipe_count, argc, argv);
    free(tests);
    free(pipe_tests);
    return failed;
}
