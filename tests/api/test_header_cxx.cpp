/* SPDX-License-Identifier: MIT */
/* The public header compiles alone as C++17, pipes, and carries a message. */
#include <shmq.h>

#include <cstring>

static_assert(sizeof(shm_msg_t) == 192, "as in C");
static_assert(alignof(shm_msg_t) == 8, "as in C");

int main()
{
    shm_socket_t *a = shm_socket(SHM_PAIR), *b = shm_socket(SHM_PAIR);
    char got[8] = "";

    if (!a || !b || shm_bind(a, "shm://cxx") || shm_connect(b, "shm://cxx"))
        return 1;
    if (shm_send(b, "hello", 6, 0) != 6 || shm_recv(a, got, sizeof got, 0) != 6)
        return 2;
    shm_close(a);
    shm_close(b);
    return std::strcmp(got, "hello") == 0 ? 0 : 3;
}
