/* SPDX-License-Identifier: MIT */
/*
 * Every operation with each of its system and heap calls failing, once and permanently, with each error that the
 * call can have; and with the process dying there. A peer in another process takes part and survives all of it.
 *
 * After a failure the operation has reported an errno or managed without; nothing stays open or mapped; the next
 * call works; whatever was acknowledged arrives. After a death a new process takes over.
 */
#include "../support/ends.h"
#include "../support/leaks.h"
#include "each.h"

#include <sys/wait.h>

struct operation;

/* One case: a socket of its own, a peer elsewhere. */
struct scene {
    const struct operation *operation;
    shm_socket_t *socket;
    uint64_t sent; /* messages acknowledged, numbered from 1 */
    bool attached;
};

struct operation {
    const char *name;
    int type, peer_type;
    bool peer_binds, begins_attached;
    int (*call)(struct scene *scene); /* 0, or -1 and errno */
};

/* ---- The peer: counts what comes, in order, each once ---- */

static void serve(struct child *up, void *argument)
{
    const struct operation *operation = argument;
    shm_socket_t *peer = socket_new(operation->peer_type);
    unsigned char bytes[40000];
    uint64_t got = 0, number;
    bool alone = true;
    ssize_t n;

    set_int(peer, SHM_RCVTIMEO, 2);
    if (operation->peer_type == SHM_SUB)
        CHECK_OK(shm_setsockopt(peer, SHM_SUBSCRIBE, "", 0));
    CHECK_OK(operation->peer_binds ? shm_bind(peer, "it") : shm_connect(peer, "it"));
    child_say(up, 0);
    for (;;) {
        while ((n = shm_recv(peer, bytes, sizeof bytes, 0)) >= 0) {
            memcpy(&number, bytes, sizeof number);
            CHECK(number == got + 1 || (number == 1 && n == 8)); /* 1 again: a new process */
            got = number;
        }
        CHECK(errno == EAGAIN || errno == EPIPE);
        if (!alone && get_stats(peer).peers == 0) {
            alone = true;
            child_say(up, got);
        }
        if (!alone || !child_has_spoken(up))
            continue;
        number = child_hear(up);
        if (number == UINT64_MAX)
            break;
        if (number == UINT64_MAX - 2) { /* notice the death: what was left comes before the next messages */
            alone = false;
            continue;
        }
        if (number == UINT64_MAX - 1) { /* send one */
            set_int(peer, SHM_SNDTIMEO, 5000);
            while (shm_send(peer, "a message", 9, 0) < 0)
                CHECK(errno == EPIPE);
        }
        child_say(up, got);
    }
    CHECK_OK(shm_close(peer));
}

/* ---- Operations ---- */

static int attach(struct scene *scene)
{
    int result = scene->operation->peer_binds ? shm_connect(scene->socket, "it") : shm_bind(scene->socket, "it");

    scene->attached = result == 0;
    return result;
}

static int make(struct scene *scene)
{
    scene->socket = shm_socket(scene->operation->type);
    return scene->socket ? 0 : -1;
}

static int send_size(struct scene *scene, size_t size, int flags)
{
    static unsigned char bytes[40000];
    uint64_t number = scene->sent + 1;

    memcpy(bytes, &number, sizeof number);
    if (shm_send(scene->socket, bytes, size, flags) < 0)
        return -1;
    scene->sent++;
    return 0;
}

static int send_small(struct scene *scene)
{
    return send_size(scene, 64, 0);
}

static int send_large(struct scene *scene)
{
    return send_size(scene, 30000, 0);
}

static int send_growing(struct scene *scene)
{
    for (size_t size = 9; size <= 36000; size = size * 2)
        if (send_size(scene, size, 0) < 0)
            return -1;
    return 0;
}

static int loan_and_send(struct scene *scene)
{
    uint64_t number = scene->sent + 1;
    shm_msg_t msg;

    if (shm_msg_loan(&msg, scene->socket, 20000) < 0)
        return -1;
    memcpy(shm_msg_data(&msg), &number, sizeof number);
    if (shm_msg_send(&msg, scene->socket, 0) < 0) {
        int error = errno;

        CHECK_OK(shm_msg_close(&msg));
        errno = error;
        return -1;
    }
    scene->sent++;
    return 0;
}

static int poll_out(struct scene *scene)
{
    shm_pollitem_t item = {scene->socket, -1, SHM_POLLOUT | SHM_POLLPRI, 0};

    return shm_poll(&item, 1, 100) < 0 ? -1 : 0;
}

/* The binder has accepted us by now: this call finds the accept record and makes the pipe. */
static int find_answer(struct scene *scene)
{
    shm_pollitem_t item = {scene->socket, -1, 0, 0};

    return shm_poll(&item, 1, 0) < 0 ? -1 : 0;
}

static int poll_with_descriptor(struct scene *scene)
{
    shm_pollitem_t items[2] = {{scene->socket, -1, SHM_POLLPRI, 0}, {NULL, STDIN_FILENO, 0, 0}};

    return shm_poll(items, 2, 1) < 0 ? -1 : 0;
}

static int descriptor(struct scene *scene)
{
    int fd;
    size_t size = sizeof fd;

    return shm_getsockopt(scene->socket, SHM_FD, &fd, &size);
}

static int detach(struct scene *scene)
{
    int result = scene->operation->peer_binds ? shm_disconnect(scene->socket, "it") : shm_unbind(scene->socket, "it");

    if (result == 0)
        scene->attached = false;
    else if (errno == ENOENT)
        result = 0; /* it had been done */
    return result;
}

static int close_it(struct scene *scene)
{
    int result = shm_close(scene->socket);

    scene->socket = NULL;
    scene->attached = false;
    return result;
}

/* ---- One case ---- */

static void set_up(struct scene *scene)
{
    if (scene->socket == NULL)
        scene->socket = CHECK_PTR(shm_socket(scene->operation->type));
    set_int(scene->socket, SHM_LINGER, 0);
    set_int(scene->socket, SHM_SNDTIMEO, 5000);
    if (scene->operation->type == SHM_PUB && !scene->attached)
        set_int(scene->socket, SHM_LOSSLESS, 1); /* otherwise it drops what does not fit */
}

static void meet_the_peer(struct scene *scene)
{
    if (!scene->attached)
        CHECK_OK(attach(scene));
    while (get_stats(scene->socket).peers == 0)
        CHECK(shm_poll(&(shm_pollitem_t){scene->socket, -1, 0, 0}, 1, 1) >= 0);
}

/* The peer counts: everything acknowledged must arrive, in order. */
static void check_arrival(struct child *peer, uint64_t sent)
{
    int64_t end = now_ms() + 5000;

    for (;;) {
        child_say(peer, 0);
        uint64_t got = child_hear(peer);
        if (got == sent)
            return;
        if (now_ms() > end)
            FAIL("%llu messages of %llu arrived", (unsigned long long)got, (unsigned long long)sent);
        pass_ms(1);
    }
}

static void use_and_end(struct scene *scene, struct child *peer)
{
    set_up(scene);
    meet_the_peer(scene);
    for (int i = 0; i < 3; i++)
        CHECK_OK(send_size(scene, 200, 0));
    check_arrival(peer, scene->sent);
    CHECK_OK(shm_close(scene->socket));
}

static void end_peer(struct child *peer)
{
    child_say(peer, UINT64_MAX);
    child_wait(peer);
}

static const int clear[] = {ENOMEM, EMFILE, ENOSPC, EACCES, EINTR, EAGAIN, EBUSY, EIO, EPERM, ENOENT, EADDRINUSE};

static bool do_it_with(const struct operation *operation, const struct injection *injection, struct child *peer)
{
    struct scene scene = {.operation = operation};
    bool fired;
    int result, error;

    if (operation->call != make)
        set_up(&scene);
    if (operation->begins_attached) {
        meet_the_peer(&scene);
        CHECK_OK(send_size(&scene, 8, 0)); /* the first: the peer counts from here */
    }
    if (operation->call == find_answer) {
        CHECK_OK(attach(&scene));
        pass_ms(3);
    }
    inject(injection);
    result = operation->call(&scene);
    error = errno;
    fired = inject_stop() >= injection->at;
    if (result < 0)
        each_check_told(operation->name, error, clear, COUNT_OF(clear), true);
    if (result < 0 && operation->call(&scene) < 0 && errno != EADDRINUSE)
        FAIL("%s: %s, and the next call with %s", operation->name, each_case(), shm_strerror(errno));
    if (!operation->begins_attached) {
        set_up(&scene);
        meet_the_peer(&scene);
        CHECK_OK(send_size(&scene, 8, 0));
    }
    if (scene.socket)
        use_and_end(&scene, peer);
    return fired;
}

struct run {
    const struct operation *operation;
    struct child peer;
    struct leaks *before;
    unsigned files;
};

/* Files are removed when the last of the two has released them. */
static void check_gone(const struct run *run)
{
    int64_t end = now_ms() + 2000;

    while (count_files(test_dir()) > run->files && now_ms() < end)
        pass_ms(1);
    if (count_files(test_dir()) > run->files)
        FAIL("%s: files were left when %s", run->operation->name, each_case());
}

static bool fail_at(const struct injection *injection, void *argument)
{
    struct run *run = argument;
    bool fired = do_it_with(run->operation, injection, &run->peer);

    leaks_check_open(run->before);
    if (inject_what() && strcmp(inject_what(), "unlinkat") == 0)
        run->files = count_files(test_dir());
    check_gone(run);
    return fired;
}

static const struct operation operations[] = {
    {"socket", SHM_PUSH, SHM_PULL, true, false, make},
    {"bind a PUSH", SHM_PUSH, SHM_PULL, false, false, attach},
    {"connect a PUSH", SHM_PUSH, SHM_PULL, true, false, attach},
    {"pipe a PUSH", SHM_PUSH, SHM_PULL, true, false, find_answer},
    {"pipe a PAIR", SHM_PAIR, SHM_PAIR, true, false, find_answer},
    {"bind a PAIR", SHM_PAIR, SHM_PAIR, false, false, attach},
    {"connect a PAIR", SHM_PAIR, SHM_PAIR, true, false, attach},
    {"connect a DEALER", SHM_DEALER, SHM_DEALER, true, false, attach},
    {"bind a PUB", SHM_PUB, SHM_SUB, false, false, attach},
    {"send small, PAIR", SHM_PAIR, SHM_PAIR, true, true, send_small},
    {"send large, PAIR", SHM_PAIR, SHM_PAIR, true, true, send_large},
    {"send growing, PAIR", SHM_PAIR, SHM_PAIR, false, true, send_growing},
    {"send large, PUSH", SHM_PUSH, SHM_PULL, false, true, send_large},
    {"send growing, PUSH", SHM_PUSH, SHM_PULL, true, true, send_growing},
    {"send growing, PUB", SHM_PUB, SHM_SUB, false, true, send_growing},
    {"loan and send", SHM_DEALER, SHM_DEALER, true, true, loan_and_send},
    {"poll", SHM_PAIR, SHM_PAIR, true, true, poll_out},
    {"poll with a descriptor", SHM_PAIR, SHM_PAIR, true, true, poll_with_descriptor},
    {"SHM_FD", SHM_PAIR, SHM_PAIR, false, true, descriptor},
    {"disconnect", SHM_PUSH, SHM_PULL, true, true, detach},
    {"unbind", SHM_PAIR, SHM_PAIR, false, true, detach},
};

static const int errors[] = {ENOMEM, EMFILE, ENOSPC, EACCES, EINTR, EAGAIN};

static void run_operation(const void *argument)
{
    struct run run = {.operation = argument, .before = CHECK_PTR(malloc(sizeof *run.before))};

    run.peer = child_start(serve, (void *)(uintptr_t)argument);
    child_hear(&run.peer);
    run.files = count_files(test_dir());
    leaks_note(run.before);
    printf("%s: %u cases\n", run.operation->name, each_call_fails(errors, COUNT_OF(errors), fail_at, &run));
    fflush(stdout);
    free(run.before);
    end_peer(&run.peer);
    leave_files(); /* where unlinkat failed */
}

/* ---- Death at each call ---- */

struct death {
    const struct operation *operation;
    unsigned at;
    _Atomic uint64_t sent;
    _Atomic bool ended;
};

static void die_at(struct child *up, void *argument)
{
    struct death *death = argument;
    struct scene scene = {.operation = death->operation};

    if (death->operation->call != make)
        set_up(&scene);
    if (death->operation->begins_attached) {
        meet_the_peer(&scene);
        CHECK_OK(send_size(&scene, 8, 0));
        death->sent = 1;
    }
    inject(&(struct injection){death->at, 0, false});
    if (death->operation->call == close_it)
        close_it(&scene);
    else
        CHECK_OK(death->operation->call(&scene));
    inject_stop();
    death->ended = true;
    kill_guarded(getpid(), SIGKILL);
}

static void run_death(const void *argument)
{
    const struct operation *operation = argument;
    struct death *death = shared_memory(sizeof *death);

    leave_files(); /* of processes that died before any name led to their files */
    death->operation = operation;
    for (death->at = 1; !death->ended && death->at < EACH_CALLS_MAX; death->at++) {
        struct child peer = child_start(serve, (void *)(uintptr_t)operation), child;
        struct scene scene = {.operation = operation};

        child_hear(&peer);
        death->sent = 0;
        child = child_start(die_at, death);
        while (waitid(P_PID, (id_t)child.pid, &(siginfo_t){0}, WEXITED | WNOWAIT) < 0)
            ;
        child_reap(&child);
        child_say(&peer, UINT64_MAX - 2);
        child_hear(&peer);
        set_up(&scene);
        meet_the_peer(&scene);
        CHECK_OK(send_size(&scene, 8, 0));
        use_and_end(&scene, &peer);
        end_peer(&peer);
    }
    printf("%s: died at each of %u calls\n", operation->name, death->at - 2);
    shared_memory_free(death, sizeof *death);
}

static const struct operation closing[] = {
    {"close a bound PUSH", SHM_PUSH, SHM_PULL, false, true, close_it},
    {"close a connected PAIR", SHM_PAIR, SHM_PAIR, true, true, close_it},
};

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_DFL);
    for (size_t i = 0; i < COUNT_OF(operations); i++)
        each_add("each_call_fails", operations[i].name, run_operation, &operations[i]);
    for (size_t i = 0; i < COUNT_OF(operations); i++)
        each_add("death_at_each_call", operations[i].name, run_death, &operations[i]);
    for (size_t i = 0; i < COUNT_OF(closing); i++)
        each_add("death_at_each_call", closing[i].name, run_death, &closing[i]);
    return suite_run("each_call", argc, argv);
}
