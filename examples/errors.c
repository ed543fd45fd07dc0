/* SPDX-License-Identifier: MIT */
/*
 * What can go wrong, and which error says so. A failed call returns -1 (or NULL), sets errno and
 * changes nothing. shm_strerror() knows shmq's own errors too. Prints:
 *     send on a SUB: ENOTSUP
 *     receive on a REQ that did not ask: EFSM
 *     bind a name that is bound: EADDRINUSE
 *     a name of 201 bytes: ENAMETOOLONG
 *     an empty name: EINVAL
 *     another transport: EPROTONOSUPPORT
 *     unbind what is not bound: ENOENT
 *     an option that does not exist: EINVAL
 *     a socket type that does not exist: EINVAL
 *     a socket that was shut down: ETERM
 */
#include "must.h"

#include <string.h>

static const struct {
    int error;
    const char *name;
} names[] = {{ENOTSUP, "ENOTSUP"},       {EFSM, "EFSM"},
             {EADDRINUSE, "EADDRINUSE"}, {ENAMETOOLONG, "ENAMETOOLONG"},
             {EINVAL, "EINVAL"},         {EPROTONOSUPPORT, "EPROTONOSUPPORT"},
             {ENOENT, "ENOENT"},         {ETERM, "ETERM"}};

/* Print the error that CALL, which must have failed, left in errno. */
static void report(const char *what, long result)
{
    const char *name = result >= 0 ? "no error" : shm_strerror(errno);

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (result < 0 && names[i].error == errno)
            name = names[i].name;
    printf("%s: %s\n", what, name);
}

int main(void)
{
    shm_socket_t *sub = must_open(SHM_SUB), *req = must_open(SHM_REQ), *rep = must_open(SHM_REP);
    char text[8], long_name[202];
    int one = 1;

    memset(long_name, 'x', 201);
    long_name[201] = '\0';
    must(shm_bind(rep, "example/taken")); /* a bare name is the same as shm://example/taken */

    report("send on a SUB", shm_send(sub, "x", 1, 0));
    must(shm_connect(req, "example/taken"));
    report("receive on a REQ that did not ask", shm_recv(req, text, sizeof text, 0));
    report("bind a name that is bound", shm_bind(sub, "shm://example/taken"));
    report("a name of 201 bytes", shm_connect(sub, long_name));
    report("an empty name", shm_connect(sub, "shm://"));
    report("another transport", shm_connect(sub, "tcp://localhost:5555"));
    report("unbind what is not bound", shm_unbind(rep, "example/other"));
    report("an option that does not exist", shm_setsockopt(sub, 4711, &one, sizeof one));
    report("a socket type that does not exist", shm_socket(4711) ? 0 : -1);
    must(shm_shutdown(rep));
    report("a socket that was shut down", shm_recv(rep, text, sizeof text, 0));
    must(shm_close(sub));
    must(shm_close(req));
    return shm_close(rep);
}
