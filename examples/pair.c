/* SPDX-License-Identifier: MIT */
/*
 * PAIR: exactly two processes talk, both ways, in any order. When one of them has gone, the other
 * first reads all that was sent, then gets EPIPE once; after that a new peer may come.
 * Prints:
 *     left hears: hello from the right
 *     left hears: I am off
 *     left hears nothing more: Broken pipe
 */
#include "must.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int right(void)
{
    shm_socket_t *pair = must_open(SHM_PAIR); /* made after fork(): each process uses its own */
    char answer[64];

    must(shm_connect(pair, "shm://example/pair"));
    must(shm_send(pair, "hello from the right", 20, 0));
    must(shm_recv(pair, answer, sizeof answer, 0));
    must(shm_send(pair, "I am off", 8, 0));
    return shm_close(pair);
}

int main(void)
{
    shm_socket_t *pair;
    char text[64];
    ssize_t size;

    if (must(fork()) == 0)
        return right();
    pair = must_open(SHM_PAIR);
    must(shm_bind(pair, "shm://example/pair"));
    while ((size = shm_recv(pair, text, sizeof text, 0)) >= 0) {
        printf("left hears: %.*s\n", (int)size, text);
        if (strncmp(text, "hello", 5) == 0)
            must(shm_send(pair, "hello from the left", 19, 0));
    }
    printf("left hears nothing more: %s\n", shm_strerror(errno));
    wait(NULL);
    return shm_close(pair);
}
