/* SPDX-License-Identifier: MIT */
/*
 * A socket belongs to one thread at a time and may move: pthread_create() and pthread_join() order
 * memory, as do mutexes and queues. Any thread may close a received view at any time, even while
 * another uses the socket. Prints:
 *     the thread received: 1
 *     main received: 2
 *     main closed both
 */
#include "must.h"

#include <pthread.h>

static shm_msg_t first;

static void *receive_one(void *argument)
{
    shm_socket_t *pull = argument;

    must(shm_msg_init(&first));
    must(shm_msg_recv(&first, pull, 0));
    printf("the thread received: %d\n", *(const int *)shm_msg_data(&first));
    return NULL;
}

int main(void)
{
    shm_socket_t *push = must_open(SHM_PUSH), *pull = must_open(SHM_PULL);
    pthread_t thread;
    shm_msg_t second;

    must(shm_bind(push, "shm://example/threads"));
    must(shm_connect(pull, "shm://example/threads"));
    for (int i = 1; i <= 2; i++)
        must(shm_send(push, &i, sizeof i, 0));

    if (pthread_create(&thread, NULL, receive_one, pull) != 0) /* now the thread's */
        return 1;
    pthread_join(thread, NULL); /* ours again */
    must(shm_msg_init(&second));
    must(shm_msg_recv(&second, pull, 0));
    printf("main received: %d\n", *(const int *)shm_msg_data(&second));
    must(shm_msg_close(&first)); /* what the thread received */
    must(shm_msg_close(&second));
    puts("main closed both");
    must(shm_close(pull));
    return shm_close(push);
}
