/* SPDX-License-Identifier: MIT */
/*
 * An attacker who may write the runtime directory but has no key restores the files of a dead sender, takes a slot
 * at the endpoint and holds the locks that a live process would hold.
 */
#include "attacker.h"
#include "support/keys.h"
#include "support/short.h"

#include <dirent.h>
#include <fcntl.h>

#include "transport/bell.h"
#include "transport/endpoint_layout.h"

struct order {
    enum key_mode mode;
    bool by_pre_accept_proof; /* the sender dies before it sees that it was accepted */
};

static void give_an_order(struct child *up, void *argument)
{
    const struct order *order = argument;
    shm_socket_t *dealer = socket_new(SHM_DEALER);

    set_mode(dealer, order->mode);
    CHECK_OK(shm_connect(dealer, "it"));
    send_text(dealer, "open the door");
    child_stay(up, 1);
    if (!order->by_pre_accept_proof)
        await_event(dealer, SHM_EVENT_CONNECTED);
    child_stay(up, 2);
}

/* Enough peers come and go for the binder to forget the first. */
static void let_a_crowd_pass(shm_socket_t *dealer, enum key_mode mode)
{
    for (unsigned i = 0; i < 400; i++) {
        shm_socket_t *other = socket_new(SHM_DEALER);

        set_mode(other, mode);
        CHECK_OK(shm_connect(other, "it"));
        pass_text(other, dealer, "hello");
        CHECK_OK(shm_close(other));
    }
}

struct recording {
    struct file segment, bell;
    struct endpoint_slot slot;
    uint64_t gen;
};

static const char *name_of(const struct file *file)
{
    return strrchr(file->path, '/') + 1;
}

/* A copy of the sender's files: it is the DEALER that has sent something. */
static void record(struct recording *recording)
{
    struct file file, endpoint;
    char name[300];

    ring_find(SHM_DEALER, &file);
    file_unmap(&file);
    file_read(name_of(&file), &recording->segment);
    snprintf(name, sizeof name, "%.32s.bell", name_of(&file));
    file_read(name, &recording->bell);
    endpoint = file_map("it.ep");
    memcpy(&recording->slot, endpoint.bytes + ENDPOINT_HEADER_SIZE, sizeof recording->slot);
    file_unmap(&endpoint);
}

static void file_write(const struct file *file)
{
    int fd = (int)CHECK_OK(open(file->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600));

    CHECK_INT(write(fd, file->bytes, file->size), file->size);
    close(fd);
}

static void lock_byte(int fd, off_t byte)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

    CHECK_OK(fcntl(fd, F_OFD_SETLK, &lock));
}

/* Restore the files, take a slot at the endpoint, lock as a live process would, and ring the doorbells. */
static void be_the_dead(struct child *up, void *argument)
{
    struct recording *old = argument;
    struct endpoint_slot *slot;
    struct dirent *entry;
    int segment_fd, endpoint_fd;

    file_write(&old->segment);
    file_write(&old->bell);
    segment_fd = (int)CHECK_OK(open(old->segment.path, O_RDWR | O_CLOEXEC));
    lock_byte(segment_fd, SEGMENT_BYTE_OWNER);
    struct file endpoint = file_map("it.ep");
    endpoint_fd = (int)CHECK_OK(open(endpoint.path, O_RDWR | O_CLOEXEC));
    lock_byte(endpoint_fd, ENDPOINT_BYTE_SLOT + 1);
    struct endpoint_header *header = (void *)endpoint.bytes;
    slot = (void *)(endpoint.bytes + ENDPOINT_HEADER_SIZE + sizeof *slot);
    memcpy(slot, &old->slot, sizeof slot->member);
    slot->member.gen = old->slot.member.gen + 1000;
    header->high = 2;
    DIR *directory = CHECK_PTR(opendir(test_dir()));
    while ((entry = readdir(directory)))
        if (strstr(entry->d_name, ".bell")) {
            struct file bell = file_map(entry->d_name);

            ((struct bell_page *)(void *)bell.bytes)->changed = 1;
            file_unmap(&bell);
        }
    closedir(directory);
    child_stay(up, 1);
    file_unmap(&endpoint);
    close(segment_fd);
    close(endpoint_fd);
}

static void expect_order(shm_socket_t *dealer)
{
    expect_text(dealer, "open the door");
}

static void replay(enum key_mode mode, bool new_reader, bool by_pre_accept_proof, bool crowd)
{
    shm_socket_t *dealer = socket_new(SHM_DEALER);
    struct order order = {mode, by_pre_accept_proof};
    struct recording recording;
    struct child sender, attacker;
    char got[32];

    set_mode(dealer, mode);
    CHECK_OK(shm_bind(dealer, "it"));
    sender = child_start_until(1, give_an_order, &order);
    if (by_pre_accept_proof) {
        child_say(&sender, 1);
        CHECK_INT(child_hear(&sender), 2);
        record(&recording); /* nobody has looked at it yet */
        expect_order(dealer);
    } else {
        expect_order(dealer);
        child_say(&sender, 1);
        CHECK_INT(child_hear(&sender), 2);
        record(&recording);
    }
    child_kill(&sender);
    await_event(dealer, SHM_EVENT_DIED);
    if (new_reader) {
        CHECK_OK(shm_close(dealer));
        dealer = socket_new(SHM_DEALER);
        set_mode(dealer, mode);
        CHECK_OK(shm_bind(dealer, "it"));
    }
    if (crowd)
        let_a_crowd_pass(dealer, mode);
    attacker = child_start_until(1, be_the_dead, &recording);
    if (mode) {
        set_int(dealer, SHM_RCVTIMEO, 250);
        CHECK(shm_recv(dealer, got, sizeof got, 0) < 0);
        CHECK(shm_recv(dealer, got, sizeof got, SHM_DONTWAIT) < 0);
        CHECK_INT(get_stats(dealer).received, (new_reader ? 0 : 1) + (crowd ? 400 : 0));
    } else {
        expect_order(dealer); /* again */
    }
    child_end(&attacker);
    free(recording.segment.bytes);
    free(recording.bell.bytes);
    CHECK_OK(shm_close(dealer));
    leave_files(); /* those that were put back */
}

TEST_WITHIN(60, the_files_of_a_dead_sender_are_worth_nothing)
{
    for (int new_reader = 0; new_reader < 2; new_reader++)
        for (int early = 0; early < 2; early++)
            for (enum key_mode mode = NO_KEY; mode < KEY_MODES; mode++) {
                replay(mode, new_reader, early, false);
                /* What the attack leaves at the name. */
                CHECK_OK(system("rm -f \"$SHMQ_DIR\"/*") ? -1 : 0);
            }
}

TEST_WITHIN(60, nor_when_many_others_came_and_went)
{
    for (enum key_mode mode = NO_KEY; mode < KEY_MODES; mode++) {
        replay(mode, false, true, true);
        CHECK_OK(system("rm -f \"$SHMQ_DIR\"/*") ? -1 : 0);
    }
}
