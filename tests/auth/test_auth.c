/* SPDX-License-Identifier: MIT */
/* SHM_AUTH_KEY and SHM_AUTH_SEAL: the options, routing ids, restarts, and where keys are kept. (That messages pass
 * with a key as without one: the other programs, run with SHMQ_TEST_AUTH.) */
#include "support/keys.h"
#include "support/short.h"

#include <sys/wait.h>

/* ---- The options ---- */

TEST_THAT(a_build_without_libsodium_says_so)
{
    shm_socket_t *socket = socket_new(SHM_PAIR);
    unsigned char key[32] = {1};
    int seal = 1;
    size_t size = sizeof seal;

    if (shm_setsockopt(socket, SHM_AUTH_KEY, key, sizeof key) == 0) {
        CHECK_OK(shm_setsockopt(socket, SHM_AUTH_SEAL, &seal, sizeof seal));
    } else {
        CHECK_INT(errno, ENOTSUP);
        CHECK_ERR(shm_setsockopt(socket, SHM_AUTH_SEAL, &seal, sizeof seal), ENOTSUP);
        CHECK_ERR(shm_getsockopt(socket, SHM_AUTH_SEAL, &seal, &size), ENOTSUP);
        CHECK_ERR(shm_getsockopt(socket, SHM_AUTH_KEY, key, &size), ENOTSUP);
    }
    CHECK_OK(shm_close(socket));
}

TEST_THAT(keys_have_32_bytes_and_are_not_given_back)
{
    for (int type = SHM_PAIR; type <= SHM_XSUB; type++) {
        shm_socket_t *socket = socket_new(type);
        unsigned char key[64] = {1};
        size_t size = sizeof key;

        set_key(socket, 1);
        CHECK_ERR(shm_setsockopt(socket, SHM_AUTH_KEY, key, 31), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, SHM_AUTH_KEY, key, 33), EINVAL);
        CHECK_ERR(shm_setsockopt(socket, SHM_AUTH_KEY, NULL, 0), EINVAL);
        CHECK_ERR(shm_getsockopt(socket, SHM_AUTH_KEY, key, &size), EINVAL);
        CHECK_INT(get_int(socket, SHM_AUTH_SEAL), 0);
        CHECK_OK(shm_close(socket));
    }
}

TEST_THAT(keys_are_set_before_the_first_endpoint)
{
    unsigned char key[32] = {1};
    int one = 1;

    for (int bind = 0; bind < 2; bind++)
        for (unsigned number = 0; number < 2; number++) {
            shm_socket_t *socket = socket_new(SHM_PAIR);

            set_key(socket, 1); /* skips without libsodium */
            CHECK_OK(shm_close(socket));
            socket = socket_new(SHM_PAIR);
            set_key(socket, number);
            CHECK_OK(bind ? shm_bind(socket, "it") : shm_connect(socket, "it"));
            CHECK_ERR(shm_setsockopt(socket, SHM_AUTH_KEY, key, sizeof key), EBUSY);
            CHECK_ERR(shm_setsockopt(socket, SHM_AUTH_SEAL, &one, sizeof one), EBUSY);
            CHECK_OK(shm_close(socket));
        }
}

TEST_THAT(a_sealed_socket_without_a_key_does_not_start)
{
    shm_socket_t *socket = socket_new(SHM_PAIR);

    set_key(socket, 1);
    CHECK_OK(shm_close(socket));
    socket = socket_new(SHM_PAIR);
    set_int(socket, SHM_AUTH_SEAL, 1);
    CHECK_ERR(shm_bind(socket, "it"), EINVAL);
    CHECK_ERR(shm_connect(socket, "it"), EINVAL);
    set_key(socket, 1);
    CHECK_OK(shm_bind(socket, "it"));
    CHECK_OK(shm_close(socket));
}

/* The last one set counts. */
TEST_THAT(a_key_may_be_set_again_before)
{
    shm_socket_t *left = socket_with_key(SHM_PAIR, 1), *right = socket_with_key(SHM_PAIR, 2);

    set_key(left, 2);
    pair_up(left, right);
    pass_text(left, right, "hello");
    CLOSE_ALL(left, right);
}

/* A loan taken before the key was set lies in shared memory, so it is sent as a copy. */
TEST_THAT(a_loan_taken_before_the_key_was_set_arrives)
{
    shm_socket_t *left = socket_new(SHM_PAIR), *right = socket_with_key(SHM_PAIR, 2);
    unsigned char *got = CHECK_PTR(malloc(5000));
    shm_msg_t msg;

    CHECK_OK(shm_msg_loan(&msg, left, 5000));
    pattern_fill(shm_msg_data(&msg), 5000, 3);
    set_key(left, 2);
    pair_up(left, right);
    CHECK_INT(shm_msg_send(&msg, left, 0), 5000);
    CHECK_INT(shm_recv(right, got, 5000, 0), 5000);
    pattern_check(got, 5000, 3);
    free(got);
    CLOSE_ALL(left, right);
}

/* ---- Routing ids ---- */

/* A ROUTER learns a routing id with the proof, possibly after it has accepted the peer. */
TEST_THAT(a_routing_id_that_is_taken_is_refused)
{
    shm_socket_t *router = socket_with_key(SHM_ROUTER, 1), *first = socket_with_key(SHM_DEALER, 1),
                 *second = socket_with_key(SHM_DEALER, 1);
    char got[8];

    CHECK_OK(shm_setsockopt(first, SHM_ROUTING_ID, "name", 4));
    CHECK_OK(shm_setsockopt(second, SHM_ROUTING_ID, "name", 4));
    CHECK_OK(shm_connect(first, "it"));
    CHECK_OK(shm_connect(second, "it"));
    CHECK_OK(shm_bind(router, "it"));
    await_events(router, SHM_EVENT_CONNECTED, first, SHM_EVENT_CONNECTED);
    await_events(router, SHM_EVENT_REJECTED, second, SHM_EVENT_REJECTED);
    CHECK_INT(get_stats(router).auth_failed + get_stats(second).auth_failed, 0);
    CHECK_INT(get_stats(second).peers, 0);
    send_text(first, "hello");
    CHECK_INT(shm_recv(router, got, sizeof got, 0), 4);
    CHECK_INT(shm_recv(router, got, sizeof got, 0), 5);
    CHECK_OK(shm_close(first));
    await_event(router, SHM_EVENT_LEFT);
    CHECK_OK(shm_disconnect(second, "it"));
    CHECK_OK(shm_connect(second, "it"));
    await_events(router, SHM_EVENT_CONNECTED, second, SHM_EVENT_CONNECTED);
    send_parts(router, TEXTS("name", "it's you"));
    expect_text(second, "it's you");
    CLOSE_ALL(second, router);
}

/* ---- Where keys are ---- */

static unsigned char masked_key[32];

/* How often the key is in this process's memory, counted without making another copy. */
static unsigned count_keys(void)
{
    FILE *maps = CHECK_PTR(fopen("/proc/self/maps", "re"));
    unsigned long from, to;
    char line[512], access[8];
    unsigned count = 0;

    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, access) != 3 || access[0] != 'r' ||
            strstr(line, "[v") || strstr(line, "/"))
            continue;
        for (const volatile unsigned char *p = (unsigned char *)from; p + 32 <= (unsigned char *)to; p++) {
            unsigned i = 0;

            while (i < 32 && p[i] == (unsigned char)(masked_key[i] ^ 0xa5))
                i++;
            count += i == 32;
        }
    }
    fclose(maps);
    return count;
}

static void set_secret_key(shm_socket_t *socket)
{
    unsigned char key[32];

    for (unsigned i = 0; i < 32; i++)
        key[i] = masked_key[i] ^ 0xa5;
    if (shm_setsockopt(socket, SHM_AUTH_KEY, key, sizeof key) < 0)
        skip_test("built without libsodium");
    explicit_bzero(key, sizeof key);
}

TEST_THAT(keys_are_wiped_on_close_and_in_a_forked_child)
{
    shm_socket_t *left = socket_new(SHM_PAIR), *right = socket_new(SHM_PAIR);
    char got[300] = "";
    int status;

    if (test_is_slow_build())
        skip_test("sanitizers map too much to look through");
    for (unsigned i = 0; i < 32; i++)
        masked_key[i] = (unsigned char)random_next(&(uint64_t){test_seed() + i});
    set_secret_key(left);
    set_secret_key(right);
    pair_up(left, right);
    for (unsigned i = 0; i < 10; i++) {
        CHECK_INT(shm_send(left, got, 10 + 20 * i, 0), 10 + 20 * i);
        CHECK_INT(shm_recv(right, got, sizeof got, 0), 10 + 20 * i);
    }
    CHECK_INT(count_keys(), 2); /* one per socket */
    pid_t pid = (pid_t)CHECK_OK(fork());
    if (pid == 0) {
        unsigned count = count_keys();

        shm_close(left);
        shm_close(right);
        _exit(count == 0 ? 0 : 1);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    CHECK_INT(count_keys(), 2);
    CHECK_OK(shm_close(left));
    CHECK_INT(count_keys(), 1);
    CHECK_OK(shm_close(right));
    CHECK_INT(count_keys(), 0);
}

/* Bound as "it": says so; sends five that do not fit a slot, and says whether all were taken. */
static void bind_and_send_five(struct child *up, void *argument)
{
    shm_socket_t *dealer = socket_with_key(SHM_DEALER, 1);
    unsigned char bytes[200];
    unsigned taken = 0;

    set_int(dealer, SHM_SNDHWM, 5);
    CHECK_OK(shm_bind(dealer, "it"));
    child_say(up, 0);
    await_event(dealer, SHM_EVENT_CONNECTED);
    for (unsigned n = 0; n < 5; n++) {
        pattern_fill(bytes, sizeof bytes, n);
        taken += shm_send(dealer, bytes, sizeof bytes, SHM_DONTWAIT) == sizeof bytes;
    }
    CHECK_ERR(shm_send(dealer, bytes, sizeof bytes, SHM_DONTWAIT), EAGAIN); /* it looks how far the other has read */
    CHECK_INT(get_stats(dealer).protocol_errors, 0);
    child_stay(up, taken);
}

/* A connector may have a pipe to a new binder that has proven nothing and read nothing yet: the read position of the
 * binder before it must not count. */
TEST_THAT(what_was_read_of_a_dead_binder_is_not_taken_for_the_next_ones)
{
    shm_socket_t *dealer = socket_with_key(SHM_DEALER, 1);
    unsigned char bytes[200];

    CHECK_OK(shm_connect(dealer, "it"));
    for (int i = 0; i < 3; i++) {
        struct child child = child_start_until(0, bind_and_send_five, NULL);

        CHECK_OK(shm_poll(&(shm_pollitem_t){dealer, -1, 0, 0}, 1, 0)); /* one look: linked */
        CHECK_INT(child_hear(&child), 5);
        for (unsigned n = 0; n < 5; n++) {
            CHECK_INT(shm_recv(dealer, bytes, sizeof bytes, 0), sizeof bytes);
            pattern_check(bytes, sizeof bytes, n);
        }
        child_kill(&child);
    }
    CHECK_OK(shm_close(dealer));
}

static shm_socket_t *dealer_new(const char *id)
{
    shm_socket_t *dealer = socket_with_key(SHM_DEALER, 1);

    CHECK_OK(shm_setsockopt(dealer, SHM_ROUTING_ID, id, strlen(id)));
    CHECK_OK(shm_connect(dealer, "it"));
    return dealer;
}

static void speak_as_anna(struct child *up, void *argument)
{
    shm_socket_t *dealer = dealer_new("anna");

    child_say(up, 0);
    await_event(dealer, SHM_EVENT_CONNECTED);
    send_text(dealer, "one");
    child_stay(up, 1);
}

/* Both messages, in any order. */
static void expect_both_from_anna(shm_socket_t *router)
{
    char got[2][8];

    set_int(router, SHM_RCVTIMEO, 2000);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(shm_recv(router, got[i], sizeof got[i], 0), 4);
        CHECK_MEM(got[i], 4, "anna", 4);
        CHECK_INT(shm_recv(router, got[i], sizeof got[i], 0), 3);
    }
    CHECK(memcmp(got[0], got[1], 3) != 0);
}

/* Its routing id was free again before the router saw its proof: it is heard all the same. */
TEST_THAT(a_dead_peer_is_heard_though_its_successor_was_introduced_before_it)
{
    shm_socket_t *router = socket_with_key(SHM_ROUTER, 1), *first, *second;

    first = dealer_new("first"); /* in the place where the successor will be */
    struct child child = child_start_until(0, speak_as_anna, NULL);
    CHECK_OK(shm_bind(router, "it")); /* both connected before the bind, so neither has proven itself */
    CHECK_INT(child_hear(&child), 1);
    child_kill(&child);
    CHECK_OK(shm_close(first));
    second = dealer_new("anna");
    send_text(second, "two");
    while (get_stats(second).peers == 0)
        CHECK(shm_poll((shm_pollitem_t[]){{router, -1, 0, 0}, {second, -1, 0, 0}}, 2, 1) >= 0);
    expect_both_from_anna(router);
    CHECK_INT(get_stats(router).auth_failed, 0);
    CLOSE_ALL(second, router);
}
