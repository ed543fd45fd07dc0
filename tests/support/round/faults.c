/* SPDX-License-Identifier: MIT */
/* What is done to a round from outside: processes stopped, the file system made full, files cut and
 * removed under those who use them. */
#include "round.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t some_ns(struct faults *faults, unsigned below_us)
{
    return (int64_t)(random_next(&faults->state) % below_us) * 1000;
}

void faults_begin(struct faults *faults, const struct plan *plan, const char *directory)
{
    *faults = (struct faults){.directory = directory, .state = plan->seed ^ (plan->round << 20)};
    faults->next_ns = now_ns() + some_ns(faults, 2000);
}

/* ---- The file system ---- */

bool faults_set_room(const char *directory, uint64_t kib)
{
    char options[64];

    snprintf(options, sizeof options, "size=%lluk,mode=0700", (unsigned long long)kib);
    return mount(NULL, directory, NULL, MS_REMOUNT, options) == 0;
}

/* As large as what is in it: full, at once, without a byte written. */
static void make_full(struct faults *faults)
{
    struct statfs fs;

    for (int i = 0; i < 5 && !faults->is_full; i++)
        if (statfs(faults->directory, &fs) == 0)
            faults->is_full =
                faults_set_room(faults->directory, (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize / 1024 +
                                                       random_next(&faults->state) % 3 * 4);
}

static void make_room(struct faults *faults)
{
    if (faults->is_full)
        faults_set_room(faults->directory, ROOM_KIB);
    faults->is_full = false;
}

/* ---- Files ---- */

static bool is_spared(const struct faults *faults, const char *name)
{
    for (unsigned i = 0; i < faults->spared_count; i++)
        if (strcmp(faults->spared[i], name) == 0)
            return true;
    return name[0] == '.';
}

void faults_spare(struct faults *faults)
{
    DIR *directory = opendir(faults->directory);
    struct dirent *entry;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)))
        if (entry->d_name[0] != '.' && faults->spared_count < SPARED_MAX)
            snprintf(faults->spared[faults->spared_count++], sizeof faults->spared[0], "%.63s", entry->d_name);
    closedir(directory);
}

/* A file chosen at random that is not spared. */
static bool choose_file(struct faults *faults, char *path, size_t size)
{
    DIR *directory = opendir(faults->directory);
    struct dirent *entry;
    unsigned seen = 0;

    while (directory && (entry = readdir(directory)))
        if (!is_spared(faults, entry->d_name) && random_next(&faults->state) % ++seen == 0)
            snprintf(path, size, "%s/%s", faults->directory, entry->d_name);
    if (directory)
        closedir(directory);
    return seen > 0;
}

static void hurt_file(struct faults *faults, enum kind kind)
{
    char path[512];
    struct stat st;

    if (!choose_file(faults, path, sizeof path))
        return;
    if (kind == UNLINK)
        unlink(path);
    else if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
             truncate(path, (off_t)(random_next(&faults->state) % (uint64_t)st.st_size)) != 0)
        return;
    faults->done++;
}

/* ---- Processes ---- */

static void let_go(struct faults *faults)
{
    if (faults->stopped > 1)
        kill(faults->stopped, SIGCONT);
    faults->stopped = 0;
}

static void stop_one(struct faults *faults, const pid_t *pids, unsigned count, struct tally *tally)
{
    pid_t pid = count ? pids[random_next(&faults->state) % count] : 0;

    if (pid > 1 && kill(pid, SIGSTOP) == 0) {
        faults->stopped = pid;
        tally->stops++;
    }
}

void faults_step(struct faults *faults, const struct plan *plan, const pid_t *pids, unsigned count, struct tally *tally)
{
    int64_t now = now_ns();

    if (faults->resume_ns && now >= faults->resume_ns) {
        let_go(faults);
        make_room(faults);
        faults->resume_ns = 0;
        /* Who was stopped has to come to a processor before it is again, now and then at least. */
        faults->next_ns = now + some_ns(faults, random_next(&faults->state) % 8 ? 2000 : 20000);
    }
    if (now < faults->next_ns || faults->resume_ns)
        return;
    if (plan->kind == TRUNCATE || plan->kind == UNLINK) {
        if (faults->spared_count > 0)
            hurt_file(faults, plan->kind);
    } else if (plan->full && random_next(&faults->state) % 2)
        make_full(faults), tally->faults += faults->is_full;
    else if (plan->stops)
        stop_one(faults, pids, count, tally);
    faults->resume_ns = now + some_ns(faults, 3000);
}

void faults_end(struct faults *faults)
{
    let_go(faults);
    make_room(faults);
    faults->next_ns = INT64_MAX;
    faults->resume_ns = 0;
}
