/* SPDX-License-Identifier: MIT */
#include "short.h"

void send_text(shm_socket_t *socket, const char *text)
{
    CHECK_INT(shm_send(socket, text, strlen(text), 0), strlen(text));
}

void send_text_now(shm_socket_t *socket, const char *text)
{
    CHECK_INT(shm_send(socket, text, strlen(text), SHM_DONTWAIT), strlen(text));
}

static void expect(shm_socket_t *socket, const char *text, int flags)
{
    char got[64];
    ssize_t n = CHECK_OK(shm_recv(socket, got, sizeof got, flags));

    CHECK_MEM(got, n, text, strlen(text));
}

void expect_text(shm_socket_t *socket, const char *text)
{
    expect(socket, text, 0);
}

void expect_text_now(shm_socket_t *socket, const char *text)
{
    expect(socket, text, SHM_DONTWAIT);
}

void send_number(shm_socket_t *socket, uint64_t number)
{
    CHECK_INT(shm_send(socket, &number, sizeof number, 0), sizeof number);
}

void expect_number_now(shm_socket_t *socket, uint64_t number)
{
    uint64_t got = 0;

    CHECK_INT(shm_recv(socket, &got, sizeof got, SHM_DONTWAIT), sizeof got);
    CHECK_INT(got, number);
}

void expect_nothing(shm_socket_t *socket)
{
    CHECK_ERR(recv_byte(socket, SHM_DONTWAIT), EAGAIN);
}

void send_numbers(shm_socket_t *socket, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++)
        send_number(socket, number);
}

void send_numbers_now(shm_socket_t *socket, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++)
        CHECK_INT(shm_send(socket, &number, sizeof number, SHM_DONTWAIT), sizeof number);
}

void expect_numbers_now(shm_socket_t *socket, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++)
        expect_number_now(socket, number);
}

void send_texts(shm_socket_t *socket, const char *const *texts)
{
    for (; *texts; texts++)
        send_text(socket, *texts);
}

void expect_texts_now(shm_socket_t *socket, const char *const *texts)
{
    for (; *texts; texts++)
        expect_text_now(socket, *texts);
}

void send_parts(shm_socket_t *socket, const char *const *texts)
{
    for (; texts[1]; texts++)
        send_part(socket, *texts);
    send_text(socket, *texts);
}

void expect_parts(shm_socket_t *socket, const char *const *texts)
{
    for (; *texts; texts++)
        expect_part(socket, *texts, texts[1] != NULL);
}

void pass_numbers(shm_socket_t *from, shm_socket_t *to, uint64_t first, uint64_t last)
{
    for (uint64_t number = first; number <= last; number++) {
        send_number(from, number);
        expect_number_now(to, number);
    }
}

uint64_t recv_number(shm_socket_t *socket)
{
    uint64_t number = 0;

    CHECK_INT(shm_recv(socket, &number, sizeof number, 0), sizeof number);
    return number;
}

void pass_text(shm_socket_t *from, shm_socket_t *to, const char *text)
{
    send_text(from, text);
    expect_text(to, text);
}

void pass_text_now(shm_socket_t *from, shm_socket_t *to, const char *text)
{
    send_text_now(from, text);
    expect_text_now(to, text);
}

void send_part(shm_socket_t *socket, const char *text)
{
    CHECK_INT(shm_send(socket, text, strlen(text), SHM_SNDMORE), strlen(text));
}

void expect_part(shm_socket_t *socket, const char *text, bool more)
{
    expect_text(socket, text);
    CHECK_INT(get_int(socket, SHM_RCVMORE), more);
}

void ask_and_answer(shm_socket_t *req, shm_socket_t *rep)
{
    send_text(req, "mine");
    expect_text(rep, "mine");
    send_text(rep, "yours");
    expect_text(req, "yours");
}

void send_when_asked(struct child *up, void *argument)
{
    const struct pipe *pipe = argument;
    struct end left;

    end_start(&left, pipe, true, "it");
    end_await(&left);
    for (uint64_t i; (i = child_hear(up)) != 0;) {
        CHECK_INT(end_send(&left, &i, sizeof i, 0), sizeof i);
        end_take_turn(&left);
    }
    end_close(&left);
}
