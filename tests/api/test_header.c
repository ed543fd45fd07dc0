/* SPDX-License-Identifier: MIT */
/* The public header compiles alone, as strict C11, twice, and means what it promises. */
#include <shmq.h>
#include <shmq.h>

_Static_assert(sizeof(shm_msg_t) == 192, "a message is 192 bytes");
_Static_assert(_Alignof(shm_msg_t) == 8, "aligned to 8");
_Static_assert(SHM_PAIR == 0 && SHM_XSUB == 10, "types are numbered as in zmq.h");
_Static_assert(SHM_DONTWAIT == 1 && SHM_SNDMORE == 2, "flags are numbered as in zmq.h");
_Static_assert(SHM_POLLIN == 1 && SHM_POLLOUT == 2 && SHM_POLLERR == 4 && SHM_POLLPRI == 8,
               "event bits are numbered as in zmq.h");
_Static_assert(SHM_SUBSCRIBE == 6 && SHM_RCVMORE == 13 && SHM_FD == 14 && SHM_EVENTS == 15 &&
                   SHM_LINGER == 17 && SHM_SNDHWM == 23 && SHM_RCVTIMEO == 27,
               "options are numbered as in zmq.h");
_Static_assert(EFSM == 156384763 && ENOCOMPATPROTO == 156384764 && ETERM == 156384765,
               "errors are numbered as in zmq.h");

int main(void)
{
    int major, minor, patch;

    shm_version(&major, &minor, &patch);
    return major == SHM_VERSION_MAJOR && minor == SHM_VERSION_MINOR && patch == SHM_VERSION_PATCH &&
                   shm_strerror(EFORKED) != NULL
               ? 0
               : 1;
}
