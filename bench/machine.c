/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <shmq.h>

void machine_choose_cpus(struct bench *bench)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    bench->cpus = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET((size_t)cpu, &set))
            continue;
        if (bench->cpus < 2)
            bench->cpu[bench->cpus] = cpu;
        bench->cpus++;
    }
    if (bench->cpus < 2)
        bench->cpu[1] = bench->cpu[0];
}

/* The text after the colon in the first line of FILE that begins with NAME. */
static void look_up(const char *file, const char *name, char *value, size_t size)
{
    FILE *stream = fopen(file, "re");
    char line[512];

    snprintf(value, size, "unknown");
    while (stream && fgets(line, sizeof line, stream)) {
        char *colon = strchr(line, ':');

        if (strncmp(line, name, strlen(name)) != 0 || !colon)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(value, size, "%s", colon);
        break;
    }
    if (stream)
        fclose(stream);
}

void machine_print(const struct bench *bench, int argc, char **argv)
{
    char model[256], memory[64], date[64];
    struct utsname system;
    time_t now = time(NULL);
    double load[3] = {0};
    int major, minor, patch;

    uname(&system);
    look_up("/proc/cpuinfo", "model name", model, sizeof model);
    look_up("/proc/meminfo", "MemTotal", memory, sizeof memory);
    getloadavg(load, 3);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M", localtime(&now));
    shm_version(&major, &minor, &patch);

    printf("shmq    %d.%d.%d, %s, %s mode\n", major, minor, patch, date, bench->quick ? "quick" : "full");
    printf("machine %s, %ld cores online, %s\n", model, sysconf(_SC_NPROCESSORS_ONLN), memory);
    printf("system  %s %s %s, load %.2f before the run\n", system.sysname, system.release, system.machine, load[0]);
    if (bench->cpus > 1)
        printf("pinned  to CPU %d and CPU %d\n", bench->cpu[0], bench->cpu[1]);
    else
        printf("pinned  to CPU %d, the only one: rows whose sides spin for each other are skipped\n", bench->cpu[0]);
    printf("command");
    for (int i = 0; i < argc; i++)
        printf(" %s", argv[i]);
    putchar('\n');
}
