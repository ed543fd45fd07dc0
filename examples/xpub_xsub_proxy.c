/* SPDX-License-Identifier: MIT */
/*
 * A proxy between any number of publishers and any number of subscribers that do not know each
 * other: publishers connect to its XSUB, subscribers to its XPUB; subscriptions travel the other
 * way. It runs in a thread here and ends when one of its sockets is shut down. Prints:
 *     temperature: 23.5
 *     the proxy ended: ...
 */
#include "must.h"

#include <pthread.h>
#include <string.h>

static shm_socket_t *front, *back;

static void *proxy(void *unused)
{
    (void)unused;
    shm_proxy(front, back, NULL);
    printf("the proxy ended: %s\n", shm_strerror(errno));
    return NULL;
}

int main(void)
{
    shm_socket_t *pub = must_open(SHM_PUB), *sub = must_open(SHM_SUB);
    pthread_t thread;
    char text[64];
    ssize_t size;

    front = must_open(SHM_XSUB);
    back = must_open(SHM_XPUB);
    must(shm_bind(front, "shm://example/in"));
    must(shm_bind(back, "shm://example/out"));
    if (pthread_create(&thread, NULL, proxy, NULL) != 0)
        return 1;

    must(shm_setsockopt(sub, SHM_SUBSCRIBE, "temperature", 11));
    must(shm_connect(sub, "shm://example/out"));
    must(shm_connect(pub, "shm://example/in"));
    /* What is published before the subscription has passed the proxy does not reach us: repeat it. */
    must_set(sub, SHM_RCVTIMEO, 10);
    do {
        must(shm_send(pub, "humidity: 40", 12, 0));
        must(shm_send(pub, "temperature: 23.5", 17, 0));
        size = shm_recv(sub, text, sizeof text, 0);
    } while (size < 0 && errno == EAGAIN);
    printf("%.*s\n", (int)must(size), text);

    must(shm_shutdown(front)); /* the one call that may be made while another thread uses it */
    pthread_join(thread, NULL);
    must(shm_close(pub));
    must(shm_close(sub));
    must(shm_close(front));
    return shm_close(back);
}
