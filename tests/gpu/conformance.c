/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite of a CUDA driver: runs the cases and prints a table.
 *
 *	conformance [--probe] [--no-costs] [--undefined] [--list] [--only TEXT]
 *	            [--seconds N] [--max-skips N] [--self-test]
 *
 * --undefined adds what the manual calls undefined, for a machine of one's own; --seconds limits the whole run, and
 * what is left then has failed; --max-skips makes more skips than that a failure, so that a run cannot pass by doing
 * nothing; --self-test plays cases that must fail, without a driver, and checks that they do.
 *
 * It runs on the driver that src/gpu/driver.c finds: a real one, or the stand-in when SHMQ_CUDA_DRIVER names that.
 * Lines begin with
 *	ok, FAIL, skip   the verdict on a case, with the reason
 *	fact             what this driver does where no manual promises anything
 *	cost             times of calls
 * and the last line counts. Exit status: 0 all passed or were skipped, 1 something failed, 2 usage, 77 there is no
 * usable driver.
 */
#include "conformance.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#define EXIT_NO_DRIVER 77

static const struct test_case *const groups[] = {
    legacy_cases, death_cases,   vmm_cases,       event_cases, host_cases,
    memop_cases,  pointer_cases, namespace_cases, cost_cases,
};

static struct {
    int probe, list, no_costs, undefined, self_test;
    const char *only;
    unsigned seconds, max_skips;
} options = {.seconds = 86400, .max_skips = UINT32_MAX};

static int parse(int argc, char **argv)
{
    static const struct option names[] = {
        {"probe", no_argument, &options.probe, 1},
        {"no-costs", no_argument, &options.no_costs, 1},
        {"undefined", no_argument, &options.undefined, 1},
        {"self-test", no_argument, &options.self_test, 1},
        {"list", no_argument, &options.list, 1},
        {"only", required_argument, NULL, 'o'},
        {"seconds", required_argument, NULL, 's'},
        {"max-skips", required_argument, NULL, 'm'},
        {NULL, 0, NULL, 0},
    };
    int name;

    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (name == 'o')
            options.only = optarg;
        else if (name == 's')
            options.seconds = (unsigned)strtoul(optarg, NULL, 10);
        else if (name == 'm')
            options.max_skips = (unsigned)strtoul(optarg, NULL, 10);
        else if (name != 0)
            return -1;
    }
    return optind == argc ? 0 : -1;
}

static bool wanted(const struct test_case *t)
{
    if (options.probe && !t->probe)
        return false;
    if (options.no_costs && strncmp(t->name, "cost:", 5) == 0)
        return false;
    if (!options.undefined && strncmp(t->name, "undefined:", 10) == 0)
        return false;
    return options.only == NULL || strstr(t->name, options.only) != NULL;
}

/* In a process of its own: the runner must never have started a driver. */
static void describe(void)
{
    const struct gpu_driver *cu;
    struct utsname system;
    char name[128], date[32];
    drv_device_t device;
    drv_uuid_t uuid;
    time_t now = time(NULL);

    if (gpu_driver_get(&cu) < 0) {
        printf("no usable CUDA driver: %s\n", gpu_driver_reason());
        fflush(stdout);
        _exit(EXIT_NO_DRIVER);
    }
    uname(&system);
    strftime(date, sizeof(date), "%Y-%m-%d %H:%M UTC", gmtime(&now));
    printf("date    %s\nsystem  %s %s %s\ndriver  CUDA %d.%d, %d device%s\n", date, system.sysname, system.release,
           system.machine, cu->version / 1000, cu->version % 1000 / 10, cu->device_count,
           cu->device_count == 1 ? "" : "s");
    for (int i = 0; i < cu->device_count; i++) {
        if (cu->cuDeviceGet(&device, i) != 0 || cu->cuDeviceGetName(name, sizeof(name), device) != 0 ||
            cu->cuDeviceGetUuid(&uuid, device) != 0)
            continue;
        printf("device  %d %s, UUID ", i, name);
        for (size_t b = 0; b < sizeof(uuid.bytes); b++)
            printf("%02x", (unsigned char)uuid.bytes[b]);
        printf("\n");
    }
    fflush(stdout);
    _exit(0);
}

static int describe_apart(void)
{
    int status = 0;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0)
        describe();
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    if (WIFSIGNALED(status)) {
        printf("the driver died of signal %d when it was started\n", WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}

static enum verdict run_in_time(const struct test_case *t, uint64_t start)
{
    if (now_ns() - start < (uint64_t)options.seconds * 1000000000u)
        return run_case(t);
    printf("%-5s %-52s no time left\n", "FAIL", t->name);
    return FAILED;
}

int main(int argc, char **argv)
{
    unsigned count[3] = {0, 0, 0};
    uint64_t start = now_ns();
    int status;

    if (parse(argc, argv) < 0)
        return 2;
    if (options.self_test)
        return self_test();
    if (!options.list && (status = describe_apart()) != 0)
        return status;
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        for (const struct test_case *t = groups[g]; t->name != NULL; t++) {
            if (wanted(t) && options.list)
                printf("%s\n", t->name);
            else if (wanted(t))
                count[run_in_time(t, start)]++;
        }
    }
    if (options.list)
        return 0;
    printf("%u passed, %u failed, %u skipped in %.1f s\n", count[PASSED], count[FAILED], count[SKIPPED],
           (double)(now_ns() - start) / 1e9);
    if (count[PASSED] + count[FAILED] + count[SKIPPED] == 0)
        return 2;
    if (count[SKIPPED] > options.max_skips) {
        printf("only %u may be skipped\n", options.max_skips);
        return 1;
    }
    return count[FAILED] > 0 ? 1 : 0;
}
