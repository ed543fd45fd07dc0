// SPDX-License-Identifier: MIT
/*
 * shmq from C++: the same header, and a socket that closes itself. One line turns errors into
 * exceptions. Prints:
 *     received: hello from C++
 */
#include <shmq.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

struct Close {
    void operator()(shm_socket_t *socket) const
    {
        shm_close(socket);
    }
};
using Socket = std::unique_ptr<shm_socket_t, Close>;

static ssize_t check(ssize_t result)
{
    if (result < 0)
        throw std::runtime_error(shm_strerror(errno));
    return result;
}

static Socket open_socket(int type)
{
    Socket socket(shm_socket(type));
    check(socket ? 0 : -1);
    return socket;
}

int main()
try {
    Socket push = open_socket(SHM_PUSH), pull = open_socket(SHM_PULL);
    std::string text = "hello from C++", received(64, '\0');

    check(shm_bind(pull.get(), "shm://example/cxx"));
    check(shm_connect(push.get(), "shm://example/cxx"));
    check(shm_send(push.get(), text.data(), text.size(), 0));
    ssize_t size = check(shm_recv(pull.get(), received.data(), received.size(), 0));
    received.resize(static_cast<size_t>(size));
    std::cout << "received: " << received << "\n";
    return 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
}
