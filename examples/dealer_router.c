/* SPDX-License-Identifier: MIT */
/*
 * DEALER and ROUTER: requests without waiting for replies. The dealer has three under way at a
 * time. The router sees who asked, by a part in front that it sends back, and answers in any
 * order, here in reverse. Prints:
 *     answer to request 3
 *     answer to request 2
 *     answer to request 1
 */
#include "must.h"

#include <sys/wait.h>
#include <unistd.h>

struct letter {
    char sender[256];
    size_t sender_size;
    int request;
};

static int serve(void)
{
    shm_socket_t *router = must_open(SHM_ROUTER);
    struct letter letters[3];

    must(shm_bind(router, "shm://example/router"));
    for (int i = 0; i < 3; i++) {
        struct letter *letter = &letters[i];

        letter->sender_size = (size_t)must(shm_recv(router, letter->sender, 256, 0));
        must(shm_recv(router, &letter->request, sizeof letter->request, 0));
    }
    for (int i = 2; i >= 0; i--) {
        struct letter *letter = &letters[i];

        must(shm_send(router, letter->sender, letter->sender_size, SHM_SNDMORE));
        must(shm_send(router, &letter->request, sizeof letter->request, 0));
    }
    return shm_close(router);
}

int main(void)
{
    shm_socket_t *dealer;

    if (must(fork()) == 0)
        return serve();
    dealer = must_open(SHM_DEALER);
    must(shm_connect(dealer, "shm://example/router"));
    for (int request = 1; request <= 3; request++)
        must(shm_send(dealer, &request, sizeof request, 0));
    for (int i = 0; i < 3; i++) {
        int request;

        must(shm_recv(dealer, &request, sizeof request, 0));
        printf("answer to request %d\n", request);
    }
    wait(NULL);
    return shm_close(dealer);
}
