/* SPDX-License-Identifier: MIT */
/* The fast path leaves now and then, so that a socket that never waits notices deaths as well. */
#include "core/fast_path.h"
#include "support/harness.h"

/* So long ago that the next look at the clock finds it time. */
static const uint64_t long_ago = 0;

static shm_socket_t *new_socket(int type)
{
    return CHECK_PTR(shm_socket(type));
}

static void subscribe_and_wait(struct child *up, void *unused)
{
    shm_socket_t *sub = new_socket(SHM_SUB);
    CHECK_OK(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    CHECK_OK(shm_connect(sub, "it"));
    char byte;
    CHECK_OK(shm_recv(sub, &byte, 1, 0));
    child_stay(up, 1);
}

TEST_THAT(a_publisher_that_never_waits_notices_a_death)
{
    shm_socket_t *pub = new_socket(SHM_PUB);
    CHECK_OK(shm_bind(pub, "it"));
    struct child child = child_start(subscribe_and_wait, NULL);
    while (!child_has_spoken(&child) || pub->fast.out == NULL) /* until all slots have memory */
        CHECK_OK(shm_send(pub, "x", 1, 0));
    child_hear(&child);
    CHECK_INT(pub->pipes.count, 1);
    child_kill(&child);
    pub->wait.checked_at = long_ago;
    for (unsigned n = 0; n < 2 * SENDS_PER_LOOK; n++)
        CHECK_OK(shm_send(pub, "x", 1, SHM_DONTWAIT));
    CHECK_INT(pub->pipes.count, 0);
    CHECK_OK(shm_close(pub));
    leave_files(); /* of the killed */
}

TEST_THAT(a_puller_that_never_waits_looks_for_claims_of_the_dead)
{
    shm_socket_t *push = new_socket(SHM_PUSH), *pull = new_socket(SHM_PULL);
    char byte;
    CHECK_OK(shm_bind(push, "it"));
    CHECK_OK(shm_connect(pull, "it"));
    for (unsigned n = 0; n < 4 * RECEIVES_PER_LOOK; n++) {
        if (n == RECEIVES_PER_LOOK)
            pull->liveness.adopted_at = long_ago; /* from here on it is the fast path that receives */
        CHECK_OK(shm_send(push, "x", 1, 0));
        CHECK_INT(shm_recv(pull, &byte, 1, 0), 1);
    }
    CHECK_PTR(pull->fast.in);
    CHECK(pull->liveness.adopted_at != long_ago);
    CHECK_OK(shm_close(push));
    CHECK_OK(shm_close(pull));
}
