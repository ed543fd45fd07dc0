/* SPDX-License-Identifier: MIT */
/*
 * shmq-bench: how fast shmq is on this machine, beside what the machine itself can do and beside
 * the other messaging libraries that are installed on it.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "clock.h"
#include "machine.h"
#include "pair.h"
#include "place.h"
#include "table.h"

#define ROW_SECONDS_FULL  240
#define ROW_SECONDS_QUICK 30

static const struct row rows[] = {
    {"floor", "the bare cache line, futex and memcpy", floor_row, true, false, 0},
    {"latency-pair-64", "64 B one way, PAIR, spinning", latency_row, true, false, LATENCY_PAIR_64},
    {"latency-pair-32", "32 B one way, PAIR, spinning", latency_row, true, false, LATENCY_PAIR_32},
    {"latency-pubsub", "64 B one way, PUB/SUB, spinning", latency_row, true, false, LATENCY_PUBSUB},
    {"latency-pushpull", "64 B one way, PUSH/PULL, spinning", latency_row, true, false, LATENCY_PUSHPULL},
    {"latency-reqrep", "64 B round trip, REQ/REP, spinning", latency_reqrep_row, true, false, 0},
    {"latency-parked", "64 B one way, PAIR, receiver asleep", parked_row, false, false, 0},
    {"throughput-pushpull", "messages a second, PUSH/PULL", throughput_row, true, false, THROUGHPUT_PUSHPULL},
    {"throughput-pair", "messages a second, PAIR", throughput_row, true, false, THROUGHPUT_PAIR},
    {"throughput-pubsub", "messages a second, PUB/SUB lossless", throughput_row, true, false, THROUGHPUT_PUBSUB},
    {"zero-copy", "1 MiB and 64 MiB without a copy", zero_copy_row, true, false, 0},
    {"copied-4k", "4KiB copied in and out", copied_row, true, false, (size_t)4 << 10},
    {"copied-64k", "64KiB copied in and out", copied_row, true, false, (size_t)64 << 10},
    {"copied-1m", "1MiB copied in and out", copied_row, true, false, (size_t)1 << 20},
    {"copied-16m", "16MiB copied in and out", copied_row, true, false, (size_t)16 << 20},
    {"copied-64m", "64MiB copied in and out", copied_row, true, false, (size_t)64 << 20},
    {"fan-out", "PUB's cost by number of subscribers", fanout_row, false, false, 0},
    {"pullers", "PUSH's throughput by number of pullers", pullers_row, false, false, 0},
    {"auth", "what SHM_AUTH_KEY costs", auth_row, false, false, 0},
    {"steady-state", "system calls and allocations", steady_row, true, true, 0},
    {"memory", "an idle pair of sockets", memory_row, false, false, 0},
    {"peer-zmq-ipc", "libzmq, ipc", peer_row, false, false, PEER_ZMQ_IPC},
    {"peer-zmq-tcp", "libzmq, tcp over loopback", peer_row, false, false, PEER_ZMQ_TCP},
    {"peer-nng", "nng, ipc", peer_row, false, false, PEER_NNG},
    {"peer-seqpacket", "Unix seqpacket sockets", peer_row, false, false, PEER_SEQPACKET},
    {"peer-mq", "POSIX message queues", peer_row, false, false, PEER_MQ},
    {"peer-iceoryx", "iceoryx, C binding", peer_row, false, false, PEER_ICEORYX},
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

int bench_failed(struct bench *bench, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(bench->why, sizeof bench->why, format, arguments);
    va_end(arguments);
    return -1;
}

static void usage(FILE *stream)
{
    fprintf(stream, "usage: shmq-bench [--quick] [--only PATTERN] [--repeat N] [--list]\n"
                    "\n"
                    "Compare shmq with the machine's own limits and with other libraries.\n"
                    "\n"
                    "  -q, --quick         fewer samples: under a minute\n"
                    "  -o, --only PATTERN  only rows whose name matches a shell pattern or contains it\n"
                    "  -r, --repeat N      N turns of each lane instead of the mode's own number\n"
                    "  -l, --list          list the rows and exit\n"
                    "  -h, --help          show this help and exit\n"
                    "\n"
                    "Each figure is compared with one measured in turns with it; \"ratio\" is the median\n"
                    "over the turns. MISS marks a missed goal, which a busy machine may cause; a row\n"
                    "that FAILED makes the exit status 1. After the table: the same as `key value` lines.\n");
}

static bool is_wanted(const struct row *row, const char *only)
{
    return !only || fnmatch(only, row->name, 0) == 0 || strstr(row->name, only) != NULL;
}

/* Returns whether it failed. */
static bool run_row(struct bench *bench, const struct row *row)
{
    uint64_t seconds = bench->quick ? ROW_SECONDS_QUICK : ROW_SECONDS_FULL;
    char words[320];
    int left;

    if (row->needs_two_cpus && bench->cpus < 2) {
        table_words(row->text, "skipped: needs two CPUs");
        return false;
    }
    bench->why[0] = '\0';
    bench->row_ends_ns = clock_ns(CLOCK_MONOTONIC) + seconds * 1000000000u;
    if (row->run(bench, row) != 0) {
        snprintf(words, sizeof words, "FAILED: %s", bench->why);
        table_words(row->text, words);
        place_empty(bench);
        return true;
    }
    left = place_empty(bench);
    if (left > 0 && !row->dies_open) {
        snprintf(words, sizeof words, "FAILED: %d files left behind by closed sockets", left);
        table_words(row->text, words);
        return true;
    }
    return false;
}

static int run_rows(struct bench *bench, const char *only)
{
    int failed = 0, wanted = 0;

    table_head();
    for (size_t i = 0; i < ROW_COUNT && bench->interrupted == 0; i++) {
        if (!is_wanted(&rows[i], only))
            continue;
        wanted++;
        failed += run_row(bench, &rows[i]);
    }
    if (wanted == 0) {
        fprintf(stderr, "shmq-bench: no row matches %s; see --list\n", only);
        return 2;
    }
    if (bench->interrupted != 0)
        return 128 + bench->interrupted;
    table_end(failed);
    return failed > 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"quick", no_argument, NULL, 'q'},        {"only", required_argument, NULL, 'o'},
        {"repeat", required_argument, NULL, 'r'}, {"list", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},         {0},
    };
    struct bench bench = {0};
    const char *only = NULL;
    int option, status;

    while ((option = getopt_long(argc, argv, "qo:r:lh", options, NULL)) != -1) {
        switch (option) {
        case 'q':
            bench.quick = true;
            break;
        case 'o':
            only = optarg;
            break;
        case 'r':
            bench.repeat = atoi(optarg);
            if (bench.repeat < 1 || bench.repeat > 10000) {
                fprintf(stderr, "shmq-bench: --repeat takes 1 to 10000\n");
                return 2;
            }
            break;
        case 'l':
            for (size_t i = 0; i < ROW_COUNT; i++)
                printf("%-20s %s\n", rows[i].name, rows[i].text);
            return 0;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return 2;
    }

    pair_block_signals();
    if (place_make(&bench) != 0) {
        fprintf(stderr, "shmq-bench: %s\n", bench.why);
        place_remove(&bench);
        return 1;
    }
    machine_choose_cpus(&bench);
    machine_print(&bench, argc, argv);
    clock_calibrate();
    status = run_rows(&bench, only);
    place_remove(&bench);
    return status;
}
