/* SPDX-License-Identifier: MIT */
/*
 * The modes: which machine the stand-in plays. Read once, from the environment.
 *
 *	SHMQ_STANDIN_MODE      names of modes, separated by commas (the table below)
 *	SHMQ_STANDIN_DEVICES   how many devices, 1 to 8 (2)
 *	SHMQ_STANDIN_SEED      seed of the delays (1)
 *	SHMQ_STANDIN_DELAY_US  the longest delay before a piece of device work (200)
 *	SHMQ_STANDIN_MEMORY    bytes of one device, for one process (4 GiB)
 *	SHMQ_STANDIN_MISSING   a call that the driver doesn't know
 *	SHMQ_STANDIN_FAIL      name:n:error[,…]: the nth call fails; n+ for it and all later
 */
#include "internal.h"

#include <stdio.h>

static struct config the_config;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct {
    const char *name;
    enum mode mode;
} names[] = {
    {"nopeer", MODE_NOPEER},
    {"nomemops", MODE_NOMEMOPS},
    {"wsl", MODE_WSL},
    {"stub", MODE_STUB},
    {"nodevice", MODE_NODEVICE},
    {"old", MODE_OLD},
    {"nolegacy", MODE_NOLEGACY},
    {"novmm", MODE_NOVMM},
    {"noipcevents", MODE_NOIPCEVENTS},
    {"integrated", MODE_INTEGRATED},
    {"ownrange", MODE_OWNRANGE},
    {"sameptr", MODE_SAMEPTR},
    {"reordered", MODE_REORDERED},
};

/* A misspelt mode would make a test pass for the wrong reason: it ends the process. */
static void die(const char *variable, const char *value)
{
    fprintf(stderr, "stand-in driver: cannot understand %s=%s\n", variable, value);
    abort();
}

static uint64_t number(const char *variable, uint64_t otherwise, uint64_t min, uint64_t max)
{
    const char *text = getenv(variable);
    unsigned long long value;
    char *end;

    if (text == NULL || text[0] == '\0')
        return otherwise;
    value = strtoull(text, &end, 0);
    if (*end != '\0' || value < min || value > max)
        die(variable, text);
    return value;
}

static void each_word(const char *variable, void (*use)(const char *word))
{
    const char *text = getenv(variable);
    char copy[512], *rest = copy, *word;

    if (text == NULL)
        return;
    if (strlen(text) >= sizeof(copy))
        die(variable, text);
    strcpy(copy, text);
    while ((word = strsep(&rest, ",")) != NULL)
        if (word[0] != '\0')
            use(word);
}

static void use_mode(const char *word)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, word) == 0) {
            the_config.modes |= (unsigned)names[i].mode;
            return;
        }
    }
    die("SHMQ_STANDIN_MODE", word);
}

static void use_fault(const char *word)
{
    if (trace_parse_fault(word) < 0)
        die("SHMQ_STANDIN_FAIL", word);
}

static void load(void)
{
    struct config *c = &the_config;
    const char *missing = getenv("SHMQ_STANDIN_MISSING");

    each_word("SHMQ_STANDIN_MODE", use_mode);
    each_word("SHMQ_STANDIN_FAIL", use_fault);
    c->device_count = (int)number("SHMQ_STANDIN_DEVICES", 2, 1, DEVICES_MAX);
    for (int i = 0; i < c->device_count; i++)
        c->physical[i] = (c->modes & MODE_REORDERED) != 0 ? c->device_count - 1 - i : i;
    c->seed = number("SHMQ_STANDIN_SEED", 1, 0, UINT64_MAX);
    c->delay_us = (unsigned)number("SHMQ_STANDIN_DELAY_US", 200, 0, 1000000);
    c->memory_size = number("SHMQ_STANDIN_MEMORY", (uint64_t)4 << 30, 0, (uint64_t)1 << 46);
    if (missing != NULL)
        snprintf(c->missing, sizeof(c->missing), "%s", missing);
}

const struct config *config(void)
{
    pthread_once(&once, load);
    return &the_config;
}

int driver_version(void)
{
    return mode(MODE_OLD) ? 11040 : 13000;
}
