/* SPDX-License-Identifier: MIT */
/*
 * A 1080p camera without a copy: the frame is drawn into memory that is already shared (a loan) and
 * looked at where it lies (a view). A view stays unchanged until it is closed, however far the
 * camera runs ahead. SHM_LOSSLESS makes the camera wait for the viewer; a real camera would rather
 * drop frames. Prints:
 *     frame 0: 1920 x 1080, all pixels are 0
 *     ...
 *     frame 7: 1920 x 1080, all pixels are 7
 *     frame 0 is still there: all pixels are 0
 */
#include "must.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAMES 8

struct frame {
    uint32_t number, width, height;
    unsigned char pixels[1920 * 1080 * 3];
};

static int camera(void)
{
    shm_socket_t *pub = must_open(SHM_PUB);
    shm_event_t joined;

    must_set(pub, SHM_LOSSLESS, 1);
    must_set(pub, SHM_SNDHWM, 2);
    must(shm_bind(pub, "shm://example/camera"));
    do
        must(shm_event_recv(pub, &joined, 0));
    while (joined.event != SHM_EVENT_CONNECTED); /* now the viewer is there */
    for (uint32_t number = 0; number < FRAMES; number++) {
        struct frame *frame;
        shm_msg_t msg;

        must(shm_msg_loan(&msg, pub, sizeof *frame));
        frame = shm_msg_data(&msg);
        frame->number = number;
        frame->width = 1920;
        frame->height = 1080;
        memset(frame->pixels, (int)number, sizeof frame->pixels);
        must(shm_msg_send(&msg, pub, 0)); /* leaves it empty: nothing to close */
    }
    return shm_close(pub);
}

static int all_pixels(const struct frame *frame)
{
    for (size_t i = 0; i < sizeof frame->pixels; i++)
        if (frame->pixels[i] != frame->pixels[0])
            return -1; /* torn: never happens */
    return frame->pixels[0];
}

int main(void)
{
    shm_socket_t *sub;
    shm_msg_t first, msg;

    if (must(fork()) == 0)
        return camera();
    sub = must_open(SHM_SUB);
    must(shm_setsockopt(sub, SHM_SUBSCRIBE, "", 0));
    must(shm_connect(sub, "shm://example/camera"));
    must(shm_msg_init(&first));
    must(shm_msg_init(&msg));
    for (int i = 0; i < FRAMES; i++) {
        shm_msg_t *into = i == 0 ? &first : &msg; /* receiving into MSG closes what it held */
        const struct frame *frame;

        must(shm_msg_recv(into, sub, 0));
        frame = shm_msg_data(into);
        printf("frame %u: %u x %u, all pixels are %d\n", frame->number, frame->width, frame->height,
               all_pixels(frame));
    }
    wait(NULL); /* the camera has closed its socket and ended */
    printf("frame 0 is still there: all pixels are %d\n", all_pixels(shm_msg_data(&first)));
    must(shm_msg_close(&first));
    must(shm_msg_close(&msg));
    return shm_close(sub);
}
