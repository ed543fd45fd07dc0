/* SPDX-License-Identifier: MIT */
/*
 * The frame's own test: cases that must not pass. They need no driver.
 *
 * A runner that called a dead, silent or lying role a success would make the whole suite worthless; --self-test plays
 * each of these and compares the verdict.
 */
#include "conformance.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void ends_well(struct role *r)
{
    (void)r;
}

static void fails(struct role *r)
{
    CHECK(r, r->count == 99);
}

static void dies(struct role *r)
{
    (void)r;
    raise(SIGKILL);
}

static void leaves_silently(struct role *r)
{
    (void)r;
    _exit(0);
}

static void skips(struct role *r)
{
    role_skip(r, "on purpose");
}

static void hears_another(struct role *r)
{
    role_hear(r, 1);
}

static void hears_nobody(struct role *r)
{
    role_say(r, 1);
    role_hear(r, 1);
    role_hear(r, 1);
}

static void answers_once(struct role *r)
{
    role_hear(r, 0);
    role_say(r, 0);
}

static void expects_death(struct role *r)
{
    role_await_death(r, 1);
}

static void speaks(struct role *r)
{
    role_say(r, 0);
}

static void wants_descriptor(struct role *r)
{
    char byte;

    role_recv_fd(r, 1, &byte, 1);
}

static const struct {
    const char *name;
    role_fn *roles[ROLES_MAX];
    unsigned dying;
    enum verdict verdict;
    const char *why;
} cases[] = {
    {"ends well", {ends_well}, 0, PASSED, ""},
    {"fails", {fails}, 0, FAILED, "not so"},
    {"the other role fails", {ends_well, fails}, 0, FAILED, "not so"},
    {"dies", {dies}, 0, FAILED, "signal 9"},
    {"dies, and may", {ends_well, dies}, 1u << 1, PASSED, ""},
    {"leaves silently", {leaves_silently}, 0, FAILED, "without a word"},
    {"skips", {skips}, 0, SKIPPED, "on purpose"},
    {"skips while the other waits", {hears_another, skips}, 0, SKIPPED, "on purpose"},
    {"waits for the dead", {hears_another, dies}, 1u << 1, FAILED, "gone"},
    {"waits for a second word", {hears_nobody, answers_once}, 0, FAILED, "gone"},
    {"the dead speak", {expects_death, speaks}, 0, FAILED, "speaks"},
    {"a promised descriptor is missing", {wants_descriptor, speaks}, 0, FAILED, "no descriptor"},
};

int self_test(void)
{
    const size_t count = sizeof(cases) / sizeof(cases[0]);
    char why[256];
    int wrong = 0;

    for (size_t i = 0; i < count; i++) {
        struct test_case t = {.name = cases[i].name, .dying = cases[i].dying, .bare = true};
        enum verdict v;

        memcpy(t.roles, cases[i].roles, sizeof(t.roles));
        v = judge_case(&t, why, sizeof(why));
        if (v == cases[i].verdict && strstr(why, cases[i].why) != NULL)
            continue;
        printf("WRONG %s: verdict %d, \"%s\"\n", t.name, (int)v, why);
        wrong++;
    }
    printf("self-test: %d of %zu wrong\n", wrong, count);
    return wrong > 0;
}
