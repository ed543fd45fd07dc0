/* SPDX-License-Identifier: MIT */
/*
 * Authentication and secrecy of messages: the cryptography, a leaf. It knows keys and bytes; what is
 * bound to what, and when a peer is authenticated, stands in core/session.h, the whole in docs/SECURITY.md.
 *
 * Two twins, chosen by meson: auth_sodium.c with libsodium, auth_none.c without it.
 *
 * A frame is ChaCha20-Poly1305 of RFC 8439 with a key that one session of one ring has for itself.
 * Its nonce is
 *
 *     0 .. 7   the message's ticket in that ring | bit 63: packed     (little-endian)
 *     8 .. 11  the tag of its slot (requests and replies)
 *
 * so that the place of a message, its form and its request number are part of it without being
 * hashed, and its length is, by the construction. A ticket is published once, hence no nonce is used
 * twice under one key. Open frames are AEAD(plaintext: none, associated data: the message): only a tag is
 * added. Secret frames are AEAD(plaintext: the message, no associated data).
 *
 * Shared memory may change at any instant. So what is sealed comes from private memory, a copy of what
 * is to be opened is made first, and tags are computed over private bytes only: a piece at a time, while
 * it is in the nearest cache.
 */
#ifndef SHMQ_AUTH_AUTH_H
#define SHMQ_AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_KEY_SIZE 32
#define AUTH_TAG_SIZE 16
#define AUTH_MAC_SIZE 16
#define AUTH_MAX      (UINT64_C(1) << 37) /* bytes of a message: half of what the block counter allows */

struct auth_frame {
    const uint8_t *key;
    uint64_t ticket;
    uint32_t tag;
    bool packed;
    bool secret;
};

/* 0, or -ENOTSUP: not built in. Before anything else here. */
int auth_ready(void);

/* SIZE private bytes become SIZE + AUTH_TAG_SIZE bytes at TO, which is never read. */
void auth_seal(const struct auth_frame *frame, void *to, const void *from, size_t size);

/* The way back: SIZE counts without the tag. TO is private. False: not what was sealed, and TO is wiped. */
bool auth_open(const struct auth_frame *frame, void *to, const void *from, size_t size);

/* Keyed hashes of a statement: a key for one purpose, or a proof. */
void auth_derive(uint8_t out[AUTH_KEY_SIZE], const uint8_t *key, const void *statement, size_t size);
void auth_prove(uint8_t out[AUTH_MAC_SIZE], const uint8_t *key, const void *statement, size_t size);
bool auth_equal(const uint8_t a[AUTH_MAC_SIZE], const uint8_t b[AUTH_MAC_SIZE]);

/*
 * Where keys are kept: pages of their own, locked as far as RLIMIT_MEMLOCK allows, not in core dumps,
 * zero in a forked child, wiped when given back.
 */
struct vault {
    struct vault_page *first;
};

uint8_t *vault_take(struct vault *vault); /* AUTH_KEY_SIZE bytes; NULL: no memory */
void vault_give(struct vault *vault, uint8_t *key);
void vault_close(struct vault *vault); /* wipes all */

#endif
