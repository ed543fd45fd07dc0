/* SPDX-License-Identifier: MIT */
#include "router.h"

void send_to(shm_socket_t *router, const char *id, const char *text)
{
    send_parts(router, TEXTS(id, text));
}

void expect_from(shm_socket_t *router, const char *id, const char *text)
{
    expect_parts(router, TEXTS(id, text));
}

void pass_from(shm_socket_t *dealer, const char *id, shm_socket_t *router, const char *text)
{
    send_text(dealer, text);
    expect_from(router, id, text);
}

void pass_to(shm_socket_t *router, const char *id, shm_socket_t *dealer, const char *text)
{
    send_to(router, id, text);
    expect_text(dealer, text);
}

shm_socket_t *dealer_new(const char *id)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER);

    if (id)
        CHECK_OK(shm_setsockopt(dealer, SHM_ROUTING_ID, id, strlen(id)));
    CHECK_OK(shm_connect(dealer, "it"));
    return dealer;
}

shm_socket_t *dealer_of(shm_socket_t *router, const char *id)
{
    shm_socket_t *dealer = dealer_new(id);

    join(router, dealer);
    return dealer;
}
