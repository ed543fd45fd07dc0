/* SPDX-License-Identifier: MIT */
/*
 * Limits of the process, each at several values, for every pattern: while the limit is on, an operation
 * works, or fails with an errno that its manual page has; no signal. Once the limit is off the same
 * operation works, so that nothing that was acknowledged is lost, and at the end nothing is left behind.
 *
 * The limit is on for one kind of operation at a time (the phases), or for all; each that failed is done
 * again without it.
 */
#include "../support/ends.h"
#include "../support/leaks.h"

#include <linux/capability.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum phase { SOCKETS, NAMES, MEETING, SENDING, TAKING, CLOSING, ALL, PHASES };

static const char *const phase_names[] = {"sockets", "names", "meeting", "sending", "taking", "closing", "all", "none"};

struct kind {
    const char *name;
    int resource;
    rlim_t values[8]; /* added to what is in use, for limits on totals */
    unsigned count;
};

#define KIB(n) ((rlim_t)(n) << 10)
#define MIB(n) ((rlim_t)(n) << 20)

/* ---- The limit ---- */

struct scene {
    const struct pipe *pipe;
    const struct kind *kind;
    rlim_t value;
    enum phase phase;
    struct end left, right;
    unsigned refusals;
    bool in_force;
};

static unsigned cases, refusals;

/* This process's use: a line of /proc/self/status. */
static rlim_t memory_used(const char *format)
{
    FILE *file = fopen("/proc/self/status", "re");
    unsigned long long kib = 0;
    char line[256];

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) && sscanf(line, format, &kib) != 1)
        ;
    fclose(file);
    CHECK(kib > 0);
    return KIB(kib);
}

static rlim_t used(int resource)
{
    if (resource == RLIMIT_AS)
        return memory_used("VmSize: %llu");
    if (resource == RLIMIT_DATA)
        return memory_used("VmData: %llu");
    if (resource == RLIMIT_NOFILE) {
        int next = (int)CHECK_OK(dup(STDIN_FILENO));

        close(next);
        return (rlim_t)next;
    }
    return 0;
}

static void set_soft(int resource, rlim_t value)
{
    struct rlimit limit;

    CHECK_OK(getrlimit((__rlimit_resource_t)resource, &limit));
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    CHECK_OK(setrlimit((__rlimit_resource_t)resource, &limit));
}

static void limit_on(struct scene *scene, enum phase phase)
{
    scene->in_force = scene->phase == phase || scene->phase == ALL;
    if (scene->in_force)
        set_soft(scene->kind->resource, used(scene->kind->resource) + scene->value);
}

static void limit_off(struct scene *scene)
{
    int error = errno;

    if (scene->in_force)
        set_soft(scene->kind->resource, RLIM_INFINITY);
    scene->in_force = false;
    errno = error;
}

/* ---- What may be said ---- */

/* Whether RESULT is a success; a failure must come under the limit and with a documented errno. */
static bool went_well(struct scene *scene, const char *what, long result)
{
    static const int clear[] = {ENOSPC, EMFILE, ENOMEM};
    int error = errno;

    if (result >= 0)
        return true;
    for (size_t i = 0; scene->in_force && i < COUNT_OF(clear); i++)
        if (error == clear[i]) {
            scene->refusals++;
            return false;
        }
    FAIL("%s: %s %s %llu, in %s: %s failed with %s", scene->pipe->pair->name, scene->kind->name,
         scene->in_force ? "at" : "was at", (unsigned long long)scene->value, phase_names[scene->phase], what,
         strerrorname_np(error));
}

/* CALL under the limit; if it was refused, again without it. */
#define ATTEMPT(scene, phase, what, call)                                                                              \
    do {                                                                                                               \
        limit_on(scene, phase);                                                                                        \
        bool done = went_well(scene, what, call);                                                                      \
        limit_off(scene);                                                                                              \
        if (!done)                                                                                                     \
            CHECK_OK(call);                                                                                            \
    } while (0)

/* ---- The operations ---- */

static shm_socket_t *try_socket(struct scene *scene, int type)
{
    shm_socket_t *socket;

    ATTEMPT(scene, SOCKETS, "shm_socket", (socket = shm_socket(type)) ? 0 : -1);
    set_int(socket, SHM_LINGER, 0);
    set_int(socket, SHM_SNDHWM, 16);
    set_int(socket, SHM_RCVHWM, 16);
    if (scene->kind->resource == RLIMIT_MEMLOCK)
        set_int(socket, SHM_LOCK_MEMORY, 1);
    if (type == SHM_PUB || type == SHM_XPUB)
        set_int(socket, SHM_LOSSLESS, 1);
    return socket;
}

static void try_name(struct scene *scene, struct end *end, bool binds)
{
    if (binds)
        ATTEMPT(scene, NAMES, "shm_bind", shm_bind(end->socket, "it"));
    else
        ATTEMPT(scene, NAMES, "shm_connect", shm_connect(end->socket, "it"));
}

static void look(struct scene *scene, struct end *end)
{
    went_well(scene, "shm_poll", shm_poll(&(shm_pollitem_t){end->socket, -1, 0, 0}, 1, 0));
}

/* What could not be had is tried again at the end of a sleep. */
static void await_a_little(struct end *end)
{
    CHECK(shm_poll(&(shm_pollitem_t){end->socket, -1, 0, 0}, 1, 1) >= 0);
}

/* The calls that bring them together cannot report a lack of resources: the two stay apart for the time being. */
static void try_to_meet(struct scene *scene)
{
    struct end *left = &scene->left, *right = &scene->right;
    int64_t end = now_ms() + 5000;
    char wish[8];

    limit_on(scene, MEETING);
    for (int i = 0; i < 10; i++) {
        look(scene, left);
        look(scene, right);
    }
    limit_off(scene);
    while (get_stats(left->socket).peers == 0 || get_stats(right->socket).peers == 0) {
        await_a_little(left);
        await_a_little(right);
        if (now_ms() > end)
            FAIL("%s: %s was at %llu, in %s: they never met", scene->pipe->pair->name, scene->kind->name,
                 (unsigned long long)scene->value, phase_names[scene->phase]);
    }
    if (left->type == SHM_XPUB)
        CHECK_INT(shm_recv(left->socket, wish, sizeof wish, 0), 1);
}

/* From here to there. */
struct way {
    struct end *from, *to;
};

enum shape { PLAIN, LOANED, PARTS, SHAPES };

/* False if refused: the next call sends the rest. */
static bool send_once(struct scene *scene, struct way way, const unsigned char *bytes, size_t size, enum shape shape,
                      bool *first_done)
{
    shm_msg_t msg;
    bool sent;

    if (shape == PARTS && !*first_done) {
        *first_done = went_well(scene, "shm_send of a part",
                                end_send(way.from, bytes, size / 3, SHM_DONTWAIT | SHM_SNDMORE));
        if (!*first_done)
            return false;
    }
    if (shape == PARTS)
        return went_well(scene, "shm_send of the last part",
                         end_send(way.from, bytes + size / 3, size - size / 3, SHM_DONTWAIT));
    if (shape == PLAIN)
        return went_well(scene, "shm_send", end_send(way.from, bytes, size, SHM_DONTWAIT));
    if (!went_well(scene, "shm_msg_loan", shm_msg_loan(&msg, way.from->socket, size)))
        return false;
    memcpy(shm_msg_data(&msg), bytes, size);
    sent = went_well(scene, "shm_msg_send", end_msg_send(way.from, &msg, SHM_DONTWAIT));
    CHECK_OK(shm_msg_close(&msg));
    return sent;
}

static void try_send(struct scene *scene, struct way way, size_t size, unsigned seed)
{
    unsigned char *bytes = CHECK_PTR(malloc(size + 1));
    enum shape shape = (enum shape)(seed % SHAPES);
    bool first_done = false;

    pattern_fill(bytes, size, seed);
    limit_on(scene, SENDING);
    if (!send_once(scene, way, bytes, size, shape, &first_done)) {
        limit_off(scene);
        CHECK(send_once(scene, way, bytes, size, shape, &first_done));
    }
    limit_off(scene);
    free(bytes);
}

/* The envelope consists of parts too, so any part can be refused. */
static ssize_t take_once(struct scene *scene, struct way way, unsigned char *bytes, size_t room, bool as_view,
                         bool *envelope_done)
{
    shm_msg_t msg;
    ssize_t n;

    if (!*envelope_done && !went_well(scene, "shm_recv of the envelope", end_recv_envelope(way.to, SHM_DONTWAIT)))
        return -1;
    *envelope_done = true;
    if (!as_view) {
        n = shm_recv(way.to->socket, bytes, room, SHM_DONTWAIT);
        return went_well(scene, "shm_recv", n) ? n : -1;
    }
    CHECK_OK(shm_msg_init(&msg));
    n = shm_msg_recv(&msg, way.to->socket, SHM_DONTWAIT);
    if (went_well(scene, "shm_msg_recv", n))
        memcpy(bytes, shm_msg_data(&msg), (size_t)n);
    else
        n = -1;
    CHECK_OK(shm_msg_close(&msg));
    return n;
}

static void try_take(struct scene *scene, struct way way, size_t size, unsigned seed)
{
    unsigned char *bytes = CHECK_PTR(malloc(size + 1));
    bool parts = seed % SHAPES == PARTS, as_view = seed / SHAPES % 2, envelope_done = false;
    size_t got = 0;

    while (got < size || (got == 0 && size == 0)) {
        ssize_t n;

        limit_on(scene, TAKING);
        n = take_once(scene, way, bytes + got, size - got, as_view, &envelope_done);
        if (n < 0) {
            limit_off(scene);
            n = take_once(scene, way, bytes + got, size - got, as_view, &envelope_done);
            CHECK(n >= 0);
        }
        limit_off(scene);
        CHECK_INT(n, !parts ? size : got == 0 ? size / 3 : size - size / 3);
        got += (size_t)n;
        CHECK_INT(get_int(way.to->socket, SHM_RCVMORE), got < size);
    }
    pattern_check(bytes, size, seed);
    free(bytes);
}

static const size_t sizes[] = {9, 112, 113, 3000, 30000, 70000, 90000, 300000, 60};

static void exchange(struct scene *scene, struct way way, bool one_by_one)
{
    static unsigned seed;
    struct way back = {way.to, way.from};
    unsigned first = seed;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        try_send(scene, way, sizes[i], ++seed);
        if (!one_by_one)
            continue;
        try_take(scene, way, sizes[i], seed);
        try_send(scene, back, sizes[i], seed);
        try_take(scene, back, sizes[i], seed);
    }
    for (size_t i = 0; i < COUNT_OF(sizes) && !one_by_one; i++)
        try_take(scene, way, sizes[i], ++first);
}

static void try_to_close(struct scene *scene)
{
    limit_on(scene, CLOSING);
    CLOSE_ALL(scene->left.socket, scene->right.socket);
    limit_off(scene);
}

/* ---- The matrix ---- */

static void run_case(struct scene *scene)
{
    const struct pipe *pipe = scene->pipe;
    shm_socket_t *sockets[2];

    sockets[0] = try_socket(scene, pipe->pair->left);
    sockets[1] = try_socket(scene, pipe->pair->right);
    end_setup(&scene->left, pipe, true, sockets[0]);
    end_setup(&scene->right, pipe, false, sockets[1]);
    try_name(scene, pipe->right_binds ? &scene->right : &scene->left, true);
    try_name(scene, pipe->right_binds ? &scene->left : &scene->right, false);
    try_to_meet(scene);
    exchange(scene, (struct way){&scene->left, &scene->right}, pipe->pair->turns);
    if (pipe->pair->two_way && !pipe->pair->turns)
        exchange(scene, (struct way){&scene->right, &scene->left}, false);
    try_to_close(scene);
    if (count_files(test_dir()) != 0)
        FAIL("%s: %s at %llu, in %s: files were left", pipe->pair->name, scene->kind->name,
             (unsigned long long)scene->value, phase_names[scene->phase]);
    cases++;
    refusals += scene->refusals;
}

static void run_kind(const struct pipe *pipe, const struct kind *kind)
{
    struct leaks *before = CHECK_PTR(malloc(sizeof *before));

    mallopt(M_TOP_PAD, 0); /* so that the heap asks the system each time */
    mallopt(M_TRIM_THRESHOLD, 0);
    mallopt(M_MMAP_THRESHOLD, 16384);
    signal(SIGXFSZ, SIG_DFL);
    leaks_note(before);
    for (unsigned v = 0; v < kind->count; v++)
        for (enum phase phase = SOCKETS; phase < PHASES; phase++) {
            struct scene scene = {.pipe = pipe, .kind = kind, .value = kind->values[v], .phase = phase};

            run_case(&scene);
        }
    leaks_check_open(before);
    free(before);
    if (refusals == 0)
        FAIL("%s: none of %u cases was refused anything: the limit does not limit", kind->name, cases);
    printf("%s: %u cases, %u refusals\n", kind->name, cases, refusals);
    fflush(stdout);
}

/* Root may lock what it likes, but for this. */
static void drop_the_right_to_lock(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    CHECK_OK(syscall(SYS_capget, &header, data));
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    CHECK_OK(syscall(SYS_capset, &header, data));
}

TEST_EACH_PIPE(descriptors, pipe)
{
    run_kind(pipe, &(struct kind){"NOFILE", RLIMIT_NOFILE, {0, 1, 2, 3, 5}, 5});
}

TEST_EACH_PIPE(file_sizes, pipe)
{
    run_kind(pipe, &(struct kind){"FSIZE", RLIMIT_FSIZE, {0, 4096, 65536, 131072, 262144, MIB(12)}, 6});
}

static void need_plain_build(void)
{
    if (test_is_slow_build())
        skip_test("the address sanitizer makes mlock() do nothing, and its own memory and stack count, too");
}

TEST_EACH_PIPE(locked_memory, pipe)
{
    need_plain_build();
    drop_the_right_to_lock();
    run_kind(pipe, &(struct kind){"MEMLOCK", RLIMIT_MEMLOCK, {0, KIB(8), KIB(64), KIB(256), MIB(1)}, 5});
}

TEST_EACH_PIPE(address_space, pipe)
{
    need_plain_build();
    run_kind(pipe, &(struct kind){"AS", RLIMIT_AS, {0, KIB(16), KIB(80), KIB(200), MIB(1), MIB(13)}, 6});
}

TEST_EACH_PIPE(data_memory, pipe)
{
    need_plain_build();
    run_kind(pipe, &(struct kind){"DATA", RLIMIT_DATA, {0, KIB(4), KIB(16), KIB(128)}, 4});
}

/* ---- The stack ---- */

#define STACK_SIZE 65536

static void *run_on_little(void *argument)
{
    run_case(argument);
    return NULL;
}

/* Everything in a thread with a stack of 64 KiB and nothing mapped below it; part of it stays unused. */
TEST_EACH_PIPE(a_small_stack, pipe)
{
    struct scene scene = {.pipe = pipe, .kind = &(struct kind){"none", RLIMIT_NOFILE, {0}, 0}, .phase = PHASES};
    unsigned char *stack = mmap(NULL, 2 * STACK_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes;
    pthread_t thread;
    size_t untouched = 0;

    need_plain_build();
    CHECK(stack != MAP_FAILED);
    CHECK_OK(mprotect(stack + STACK_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE));
    CHECK_INT(pthread_attr_init(&attributes), 0);
    CHECK_INT(pthread_attr_setstack(&attributes, stack + STACK_SIZE, STACK_SIZE), 0);
    CHECK_INT(pthread_create(&thread, &attributes, run_on_little, &scene), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    pthread_attr_destroy(&attributes);
    while (untouched < STACK_SIZE && stack[STACK_SIZE + untouched] == 0)
        untouched++;
    printf("of %d bytes of stack %zu were used\n", STACK_SIZE, STACK_SIZE - untouched);
    fflush(stdout);
    CHECK(untouched >= STACK_SIZE / 4);
    CHECK_OK(munmap(stack, 2 * STACK_SIZE));
}
