/* SPDX-License-Identifier: MIT */
/*
 * Two ways to listen. SHM_HISTORY: a latecomer starts with the last few messages that were sent
 * before it came. SHM_CONFLATE: a reader only ever gets the newest one. Neither costs the
 * publisher anything. Prints:
 *     latecomer: 3
 *     latecomer: 4
 *     latecomer: 5
 *     latecomer: 6
 *     newest: 9
 */
#include "must.h"

static shm_socket_t *listen_with(int option, int value)
{
    shm_socket_t *sub = must_open(SHM_SUB);

    must_set(sub, option, value);
    must(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    must(shm_connect(sub, "shm://example/levels"));
    return sub;
}

int main(void)
{
    shm_socket_t *pub = must_open(SHM_PUB), *latecomer, *newest;
    int level;

    must(shm_bind(pub, "shm://example/levels"));
    for (level = 1; level <= 5; level++)
        must(shm_send(pub, &level, sizeof level, 0));

    latecomer = listen_with(SHM_HISTORY, 3);
    must(shm_send(pub, &level, sizeof level, 0)); /* 6: a publisher sees newcomers when it sends */
    while (shm_recv(latecomer, &level, sizeof level, SHM_DONTWAIT) >= 0)
        printf("latecomer: %d\n", level);

    newest = listen_with(SHM_CONFLATE, 1);
    for (level = 7; level <= 9; level++)
        must(shm_send(pub, &level, sizeof level, 0));
    while (shm_recv(newest, &level, sizeof level, SHM_DONTWAIT) >= 0)
        printf("newest: %d\n", level);

    must(shm_close(latecomer));
    must(shm_close(newest));
    return shm_close(pub);
}
