/* SPDX-License-Identifier: MIT */
#include "each.h"

static struct injection current;

const char *each_case(void)
{
    static char text[128];

    snprintf(text, sizeof text, "call %u, %s, failed with %s%s", current.at, inject_what() ? inject_what() : "none",
             strerrorname_np(current.error), current.persistent ? " from then on" : "");
    return text;
}

static void say_case(void)
{
    fprintf(stderr, "    %s\n", each_case());
}

static bool passes_by_itself(int error)
{
    return error == EINTR || error == EAGAIN;
}

unsigned each_call_fails(const int *errors, size_t count, each_fn *body, void *argument)
{
    unsigned cases = 0;

    on_fail(say_case);
    for (size_t e = 0; e < count; e++)
        for (int persistent = 0; persistent < (passes_by_itself(errors[e]) ? 1 : 2); persistent++) {
            current = (struct injection){1, errors[e], persistent};
            for (; current.at < EACH_CALLS_MAX && body(&current, argument); current.at++)
                cases++;
        }
    return cases;
}

void each_check_told(const char *operation, int error, const int *clear, size_t count, bool as_injected)
{
    if (as_injected && error == current.error)
        return;
    for (size_t i = 0; i < count; i++)
        if (error == clear[i])
            return;
    FAIL("%s: %s, and the caller was told %s", operation, each_case(), shm_strerror(error));
}

void each_add(const char *what, const char *name, void (*body)(const void *argument), const void *argument)
{
    struct suite_test *test = CHECK_PTR(calloc(1, sizeof *test));
    char *full = CHECK_PTR(malloc(strlen(what) + strlen(name) + 3));

    sprintf(full, "%s: %s", what, name);
    *test = (struct suite_test){.name = full, .body_with = body, .argument = argument, .deadline_s = 120, .file = ""};
    suite_add(test);
}
