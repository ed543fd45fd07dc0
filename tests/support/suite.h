/* SPDX-License-Identifier: MIT */
/*
 * Tests that register themselves: their definition is all there is to write, and suite_main.c runs what the
 * files of a program define, in the order of their lines.
 *
 * A program whose tests are made from a table calls test_main() of harness.h in a main() of its own.
 */
#ifndef SHMQ_TEST_SUITE_H
#define SHMQ_TEST_SUITE_H

#include <stdbool.h>
#include <stddef.h>

struct pair;
struct pipe;

struct suite_test {
    const char *name;
    void (*body)(void);
    void (*body_with)(const void *argument);    /* instead of body, ... */
    void (*pipe_body)(const struct pipe *pipe); /* ... or this */
    const void *argument;
    bool (*fits)(const struct pair *pair);      /* which pairs of types; NULL: all */
    unsigned deadline_s;                        /* 0: the default */
    const char *file;
    int line;
    struct suite_test *next;
};

void suite_add(struct suite_test *test);
/* Run all that were added; a pattern in ARGV chooses (harness.h). Returns the program's status. */
int suite_run(const char *group, int argc, char **argv);

/* The head of a test, to be followed by its body. */
#define TEST_THAT(sentence)            TEST_WITHIN(0, sentence)
#define TEST_WITHIN(seconds, sentence) SUITE_TEST(sentence, body, NULL, seconds, void)
/* One whose body is called by the function RUN: with around it what all tests of a kind need, or once for each of
 * several cases, which it passes as the PARAMETERS. */
#define TEST_RUN_BY(run, sentence, ...)                                                                                \
    static void sentence##_body(__VA_ARGS__);                                                                          \
    TEST_THAT(sentence)                                                                                                \
    {                                                                                                                  \
        run(sentence##_body);                                                                                          \
    }                                                                                                                  \
    static void sentence##_body(__VA_ARGS__)
/* One that is run for every pipe of ends.h, or for those whose pair of types FITS; PIPE names the parameter. */
#define TEST_EACH_PIPE(sentence, pipe)                    TEST_PIPES(NULL, sentence, pipe)
#define TEST_PIPES(fits, sentence, pipe)                  TEST_PIPES_WITHIN(0, fits, sentence, pipe)
#define TEST_PIPES_WITHIN(seconds, fits, sentence, pipe_)                                                              \
    SUITE_TEST(sentence, pipe_body, fits, seconds, const struct pipe *pipe_)

#define SUITE_TEST(sentence, member, fits_, seconds, ...)                                                              \
    static void sentence(__VA_ARGS__);                                                                                 \
    __attribute__((constructor)) static void register_##sentence(void)                                                 \
    {                                                                                                                  \
        static struct suite_test test = {.name = #sentence, .member = sentence, .fits = fits_, .deadline_s = seconds,  \
                                         .file = __FILE__, .line = __LINE__};                                          \
        suite_add(&test);                                                                                              \
    }                                                                                                                  \
    static void sentence(__VA_ARGS__)

#endif
