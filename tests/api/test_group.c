/* SPDX-License-Identifier: MIT */
/* The group's mode: sockets of several users of one group, in a directory of that group (SHMQ_GROUP). */
#include "support/ends.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { GROUP = 61000, ALICE = 61001, BOB = 61002 };

static char place[300];

static void become(uid_t uid, gid_t group)
{
    CHECK_OK(setgroups(0, NULL));
    CHECK_OK(setresgid(group, group, group));
    CHECK_OK(setresuid(uid, uid, uid));
}

/* A directory in the test's own, for all to enter. */
static void make_place(mode_t mode)
{
    if (geteuid() != 0)
        skip_test("only root can be several users");
    CHECK_OK(chmod(test_dir(), 0711));
    snprintf(place, sizeof place, "%s/place", test_dir());
    CHECK_OK(mkdir(place, 0700));
    CHECK_OK(chown(place, ALICE, GROUP));
    CHECK_OK(chmod(place, mode));
    setenv("SHMQ_DIR", place, 1);
    setenv("SHMQ_GROUP", "61000", 1);
}

static void remove_place(void)
{
    CHECK_INT(count_files(place), 0);
    CHECK_OK(rmdir(place));
}

/* ---- Every pattern, between two users ---- */

/* Alice's memory is not Bob's to write, though he may read it. */
static void check_modes(void)
{
    DIR *directory = CHECK_PTR(opendir(place));
    struct dirent *entry;
    struct stat st;

    while ((entry = readdir(directory))) {
        const char *suffix = strrchr(entry->d_name, '.');
        bool segment = suffix && strcmp(suffix, ".seg") == 0;

        CHECK_OK(fstatat(dirfd(directory), entry->d_name, &st, 0));
        if (S_ISDIR(st.st_mode))
            continue;
        CHECK_INT(st.st_gid, GROUP);
        CHECK_INT(st.st_mode & 07777, segment ? 0640 : 0660);
        if (segment && st.st_uid != geteuid())
            CHECK_ERR(openat(dirfd(directory), entry->d_name, O_RDWR | O_CLOEXEC), EACCES);
    }
    closedir(directory);
}

static void be_bob(struct child *up, void *argument)
{
    struct end end;

    become(BOB, GROUP);
    end_start(&end, argument, false, "it");
    child_say(up, 0);
    end_receive_traffic(&end);
    check_modes();
    child_hear(up);
    end_close(&end);
}

static void be_alice(struct child *up, void *argument)
{
    struct end end;

    become(ALICE, GROUP);
    end_open(&end, argument, true);
    if (get_int(end.socket, SHM_TYPE) == SHM_PUB)
        set_int(end.socket, SHM_LOSSLESS, 1);
    end_attach(&end, argument, "it");
    child_say(up, 0);
    end_await(&end);
    child_say(up, 0);
    end_send_traffic(&end);
    child_hear(up);
    end_close(&end);
}

TEST_EACH_PIPE(users_of_a_group_meet, pipe)
{
    make_place(02770);
    struct child alice = pipe_child(pipe, be_alice);
    child_hear(&alice);
    struct child bob = pipe_child(pipe, be_bob);
    child_hear(&bob);
    child_hear(&alice);
    child_end(&bob);
    child_end(&alice);
    remove_place();
}

static void be_witness(struct child *up, void *argument)
{
    struct end end;

    become(BOB, GROUP);
    end_start(&end, argument, false, "it");
    child_say(up, 0);
    await_event(end.socket, SHM_EVENT_DIED);
    end_close(&end);
}

/* Bob removes what Alice left when she was killed, although he owns none of it. */
TEST_EACH_PIPE(the_dead_of_a_group_leave_nothing, pipe)
{
    make_place(02770);
    struct child bob = pipe_child(pipe, be_witness);
    child_hear(&bob);
    struct child alice = pipe_child(pipe, be_alice);
    child_hear(&alice);
    child_hear(&alice); /* they have met */
    child_kill(&alice);
    child_wait(&bob);
    remove_place();
}

/* ---- Who is refused ---- */

static void outsider(struct child *up, void *argument)
{
    become(BOB, BOB);
    CHECK_NULL(shm_socket(SHM_PAIR), EACCES);
}

TEST_THAT(who_is_not_of_the_group_stays_outside)
{
    make_place(02770);
    child_run(outsider, NULL);
    remove_place();
}

TEST_THAT(a_directory_that_is_not_as_asked_for_is_refused)
{
    make_place(02775); /* others may read */
    CHECK_NULL(shm_socket(SHM_PAIR), EPERM);
    CHECK_OK(chmod(place, 0770)); /* files would not get the group */
    CHECK_NULL(shm_socket(SHM_PAIR), EPERM);
    CHECK_OK(chmod(place, 0700));
    CHECK_NULL(shm_socket(SHM_PAIR), EPERM);
    CHECK_OK(chmod(place, 02770));
    setenv("SHMQ_GROUP", "61009", 1);
    CHECK_NULL(shm_socket(SHM_PAIR), EPERM);
    setenv("SHMQ_GROUP", "no such group", 1);
    CHECK_NULL(shm_socket(SHM_PAIR), EINVAL);
    unsetenv("SHMQ_GROUP"); /* nobody asked for a group's */
    CHECK_NULL(shm_socket(SHM_PAIR), EPERM);
    remove_place();
}

TEST_THAT(a_file_of_another_group_is_refused)
{
    char path[400];

    make_place(02770);
    snprintf(path, sizeof path, "%s/it.ep", place);
    int fd = (int)CHECK_OK(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0660));
    CHECK_OK(fchmod(fd, 0660));
    CHECK_OK(fchown(fd, ALICE, BOB));
    shm_socket_t *socket = socket_new(SHM_PAIR);
    CHECK_ERR(shm_bind(socket, "it"), EPERM);
    CHECK_OK(fchown(fd, ALICE, GROUP));
    CHECK_OK(fchmod(fd, 0666));
    CHECK_ERR(shm_bind(socket, "it"), EPERM);
    close(fd);
    CHECK_OK(unlink(path));
    CHECK_OK(shm_close(socket));
    remove_place();
}

/* ---- A publisher's memory, in either mode ---- */

/* The address at which a peer's segment is mapped: the read-only mapping (our own is writable). */
static void *peers_memory(void)
{
    FILE *maps = CHECK_PTR(fopen("/proc/self/maps", "re"));
    char line[600], right[8];
    unsigned long start, found = 0;

    while (fgets(line, sizeof line, maps))
        if (strstr(line, ".seg") && sscanf(line, "%lx-%*x %7s", &start, right) == 2 && right[1] == '-')
            found = start;
    fclose(maps);
    CHECK(found != 0);
    return (void *)found;
}

static void write_to_the_publisher(struct child *up, void *argument)
{
    shm_socket_t *sub = sub_new("");

    CHECK_OK(shm_connect(sub, "it"));
    child_say(up, 0);
    CHECK_OK(recv_byte(sub, 0));
    void *memory = peers_memory();
    CHECK_ERR(mprotect(memory, 4096, PROT_READ | PROT_WRITE), EACCES);
    child_say(up, 1);
    *(volatile char *)memory = 1;
    child_say(up, 2); /* not reached */
}

TEST_THAT(a_subscriber_that_writes_to_its_publisher_dies)
{
    shm_socket_t *pub = socket_bound(SHM_PUB);
    struct child child = child_start_until(0, write_to_the_publisher, NULL);
    int status;

    await_event(pub, SHM_EVENT_CONNECTED);
    CHECK_OK(shm_send(pub, "text", 4, 0));
    CHECK_INT(child_hear(&child), 1);
    CHECK_OK(waitid(P_PID, (id_t)child.pid, &(siginfo_t){0}, WEXITED | WNOWAIT));
    CHECK_INT(waitpid(child.pid, &status, 0), child.pid);
    close(child.fd);
    if (!test_is_slow_build()) /* a sanitizer catches the signal and ends the process itself */
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
    await_event(pub, SHM_EVENT_DIED);
    CHECK_OK(shm_close(pub));
}
