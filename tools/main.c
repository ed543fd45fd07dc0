/* SPDX-License-Identifier: MIT */
/* The tool `shmq`: its command line. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "shmq.h"
#include "tool.h"

static const char help[] =
    "Usage: shmq ls [--json]              list the names in the runtime directory\n"
    "       shmq info NAME [--json]       show the counters of the sockets at NAME\n"
    "       shmq gc [--dry-run] [--json]  remove what dead processes have left\n"
    "       shmq --version | --help\n"
    "\n"
    "The runtime directory is $SHMQ_DIR, by default /dev/shm/shmq-UID.\n"
    "Exit status: 0 success; 1 nothing found, or no such NAME; 2 usage error; 3 a system call failed.\n";

enum { OPTION_JSON = 256, OPTION_DRY_RUN, OPTION_VERSION, OPTION_HELP };

static const struct option options[] = {
    {"json", no_argument, NULL, OPTION_JSON},       {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"version", no_argument, NULL, OPTION_VERSION}, {"help", no_argument, NULL, OPTION_HELP},
    {NULL, 0, NULL, 0},
};

struct command {
    const char *name;
    int (*run)(const struct request *request);
    bool takes_name, takes_dry_run;
};

static const struct command commands[] = {
    {"ls", tool_ls, false, false},
    {"info", tool_info, true, false},
    {"gc", tool_gc, false, true},
};

struct words {
    const char *word[2];
    unsigned count; /* may exceed the room: then there are too many */
};

int tool_fail(const char *what, int error)
{
    fprintf(stderr, "shmq: %s: %s\n", what, shm_strerror(-error));
    return STATUS_SYSTEM;
}

static int complain(const char *what)
{
    fprintf(stderr, "shmq: %s\nTry 'shmq --help'.\n", what);
    return STATUS_USAGE;
}

static int show_version(void)
{
    int major, minor, patch;
    shm_version(&major, &minor, &patch);
    printf("shmq %d.%d.%d\n", major, minor, patch);
    return STATUS_FINE;
}

static void add_word(struct words *words, const char *word)
{
    if (words->count < 2)
        words->word[words->count] = word;
    words->count++;
}

static int run(const struct words *words, struct request *request)
{
    const struct command *command = NULL;

    if (words->count == 0)
        return complain("missing command");
    for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i].name, words->word[0]) == 0)
            command = &commands[i];
    if (command == NULL)
        return complain("no such command");
    if (command->takes_name && words->count < 2)
        return complain("missing name");
    if (words->count > (command->takes_name ? 2 : 1))
        return complain("too many arguments");
    if (request->dry_run && !command->takes_dry_run)
        return complain("--dry-run is only for gc");
    request->name = words->word[1];
    return command->run(request);
}

static int parse_and_run(int argc, char **argv)
{
    struct request request = {0};
    struct words words = {0};
    int option;

    /* "-": returns words in order among the options, even if POSIXLY_CORRECT is set. */
    while ((option = getopt_long(argc, argv, "-", options, NULL)) != -1)
        switch (option) {
        case OPTION_JSON:
            request.json = true;
            break;
        case OPTION_DRY_RUN:
            request.dry_run = true;
            break;
        case OPTION_VERSION:
            return show_version();
        case OPTION_HELP:
            fputs(help, stdout);
            return STATUS_FINE;
        case 1:
            add_word(&words, optarg);
            break;
        default: /* getopt has printed the error */
            fputs("Try 'shmq --help'.\n", stderr);
            return STATUS_USAGE;
        }
    while (optind < argc) /* behind "--" */
        add_word(&words, argv[optind++]);
    return run(&words, &request);
}

int main(int argc, char **argv)
{
    int status = parse_and_run(argc, argv);
    /* A full disk behind standard output must not look like an empty list. */
    if (fflush(stdout) != 0 || ferror(stdout))
        return tool_fail("standard output", -(errno != 0 ? errno : EIO));
    return status;
}
