/* SPDX-License-Identifier: MIT */
/*
 * What a slow subscriber means. A PUB continues regardless: the subscriber loses the oldest
 * messages and learns exactly how many. With SHM_LOSSLESS the publisher waits for the slowest
 * subscriber (or fails with EAGAIN, as here). Prints:
 *     lossy: sent 100, received ... and lost ..., together 100
 *     lossless: sent 8, received 8 and lost 0, together 8
 */
#include "must.h"

static void run(const char *label, int lossless)
{
    shm_socket_t *pub = must_open(SHM_PUB), *sub = must_open(SHM_SUB);
    int number, sent = 0, received = 0;
    uint64_t lost;
    size_t room = sizeof lost;

    must_set(pub, SHM_SNDHWM, 8);
    must_set(pub, SHM_LOSSLESS, lossless);
    must(shm_bind(pub, "shm://example/levels"));
    must(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    must(shm_connect(sub, "shm://example/levels"));

    for (number = 0; number < 100; number++)
        if (shm_send(pub, &number, sizeof number, SHM_DONTWAIT) >= 0)
            sent++;
    while (shm_recv(sub, &number, sizeof number, SHM_DONTWAIT) >= 0)
        received++;
    must(shm_getsockopt(sub, SHM_LOST, &lost, &room));
    printf("%s: sent %d, received %d and lost %d, together %d\n", label, sent, received, (int)lost,
           received + (int)lost);
    must(shm_close(sub));
    must(shm_close(pub));
}

int main(void)
{
    run("lossy", 0);
    run("lossless", 1);
    return 0;
}
