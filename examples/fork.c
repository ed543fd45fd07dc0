/* SPDX-License-Identifier: MIT */
/*
 * Sockets and fork(): a socket belongs to the process that made it. In the child its calls fail
 * with a clear error. The child may close its copy, which leaves the parent's alone, and makes
 * sockets of its own.
 * Prints:
 *     child, on the parent's socket: ...
 *     child, on its own: sent
 *     parent: received "from the child"
 */
#include "must.h"

#include <sys/wait.h>
#include <unistd.h>

static int child(shm_socket_t *inherited)
{
    char text[32];
    shm_socket_t *push;

    if (shm_recv(inherited, text, sizeof text, 0) < 0 && errno == EFORKED)
        printf("child, on the parent's socket: %s\n", shm_strerror(errno));
    must(shm_close(inherited));
    push = must_open(SHM_PUSH);
    must(shm_connect(push, "shm://example/fork"));
    must(shm_send(push, "from the child", 14, 0));
    puts("child, on its own: sent");
    return shm_close(push);
}

int main(void)
{
    shm_socket_t *pull = must_open(SHM_PULL);
    char text[32];
    ssize_t size;

    must(shm_bind(pull, "shm://example/fork"));
    if (must(fork()) == 0)
        return child(pull);
    wait(NULL); /* the message waits in shared memory; its sender has already ended */
    size = must(shm_recv(pull, text, sizeof text, 0));
    printf("parent: received \"%.*s\"\n", (int)size, text);
    return shm_close(pull);
}
