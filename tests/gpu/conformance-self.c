/* SPDX-License-Identifier: MIT */
/*
 * The frame's own test: cases that must not pass. They need no driver.
 *
 * A runner that called a dead, silent or lying role a success would make the whole suite worthless; --self-test plays
 * each of these and compares the verdict.
 */
#include "conformance.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    role_die(r);
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

static void hears_the_dead(struct role *r)
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

static void sends_bytes(struct role *r)
{
    role_send(r, 0, "abcd", 4);
}

static void wants_descriptor(struct role *r)
{
    role_recv_fd(r, 1);
}

#define BARE(bits, title, ...)                                                                                         \
    {                                                                                                                  \
        .name = title, .roles = {__VA_ARGS__}, .dying = bits, .bare = true                                             \
    }

static const struct {
    struct test_case t;
    enum verdict verdict;
    const char *why;
} cases[] = {
    {BARE(0, "self: ends well", ends_well), PASSED, ""},
    {BARE(0, "self: fails", fails), FAILED, "not so"},
    {BARE(0, "self: the other role fails", ends_well, fails), FAILED, "not so"},
    {BARE(0, "self: dies", dies), FAILED, "signal 9"},
    {BARE(1u << 1, "self: dies, and may", ends_well, dies), PASSED, ""},
    {BARE(0, "self: leaves silently", leaves_silently), FAILED, "without a word"},
    {BARE(0, "self: skips", skips), SKIPPED, "on purpose"},
    {BARE(0, "self: skips while the other waits", hears_the_dead, skips), SKIPPED, "on purpose"},
    {BARE(1u << 1, "self: waits for the dead", hears_the_dead, dies), FAILED, "gone"},
    {BARE(0, "self: waits for a second word", hears_nobody, answers_once), FAILED, "gone"},
    {BARE(0, "self: the dead speak", expects_death, speaks), FAILED, "speaks"},
    {BARE(0, "self: a promised descriptor is missing", wants_descriptor, sends_bytes), FAILED, "no descriptor"},
};

int self_test(void)
{
    char why[256];
    int wrong = 0;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum verdict v = judge_case(&cases[i].t, why, sizeof(why));

        if (v == cases[i].verdict && strstr(why, cases[i].why) != NULL)
            continue;
        printf("WRONG %s: verdict %d, \"%s\"\n", cases[i].t.name, (int)v, why);
        wrong++;
    }
    printf("self-test: %d of %zu wrong\n", wrong, sizeof(cases) / sizeof(cases[0]));
    return wrong > 0;
}
