/* SPDX-License-Identifier: MIT */
#include "router.h"

void send_to(shm_socket_t *router, const char *id, const char *text)
{
    CHECK_INT(shm_send(router, id, strlen(id), SHM_SNDMORE), strlen(id));
    CHECK_INT(shm_send(router, text, strlen(text), 0), strlen(text));
}

void expect_from(shm_socket_t *router, const char *id, const char *text)
{
    expect_text(router, id);
    CHECK_INT(get_int(router, SHM_RCVMORE), 1);
    expect_text(router, text);
    CHECK_INT(get_int(router, SHM_RCVMORE), 0);
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
