/* SPDX-License-Identifier: MIT */
/* auth.h with libsodium. The AEAD is put together from its two halves, to work in pieces on private memory
 * (auth.h); what comes out is what crypto_aead_chacha20poly1305_ietf_encrypt() makes. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "base/wiped.h"

#define PIECE     4096 /* a multiple of the cipher's block */
#define PAGE_SIZE 4096
#define PAGE_KEYS (PAGE_SIZE / AUTH_KEY_SIZE)

_Static_assert(AUTH_KEY_SIZE == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "sizes of libsodium");
_Static_assert(AUTH_TAG_SIZE == crypto_aead_chacha20poly1305_ietf_ABYTES, "sizes of libsodium");

int auth_ready(void)
{
    return sodium_init() < 0 ? -ENOTSUP : 0;
}

/* ---- frames ---- */

static void make_nonce(uint8_t nonce[12], const struct auth_frame *frame)
{
    uint64_t number = frame->ticket | (uint64_t)frame->packed << 63;
    for (int i = 0; i < 8; i++)
        nonce[i] = (uint8_t)(number >> 8 * i);
    for (int i = 0; i < 4; i++)
        nonce[8 + i] = (uint8_t)(frame->tag >> 8 * i);
}

static void begin(crypto_onetimeauth_poly1305_state *mac, const uint8_t nonce[12], const uint8_t *key)
{
    uint8_t block[64]; /* the first one of the key stream: the first half is the key of the tag */
    crypto_stream_chacha20_ietf(block, sizeof block, nonce, key);
    crypto_onetimeauth_poly1305_init(mac, block);
    sodium_memzero(block, sizeof block);
}

/* The end of RFC 8439's text: zeros to a multiple of 16, then how long the two halves were. */
static void finish(crypto_onetimeauth_poly1305_state *mac, uint8_t tag[AUTH_TAG_SIZE], uint64_t size, bool secret)
{
    uint8_t last[32] = {0};
    uint64_t open_size = secret ? 0 : size, secret_size = secret ? size : 0;
    size_t zeros = (16 - (size & 15)) & 15;
    for (int i = 0; i < 8; i++) {
        last[zeros + (size_t)i] = (uint8_t)(open_size >> 8 * i);
        last[zeros + 8 + (size_t)i] = (uint8_t)(secret_size >> 8 * i);
    }
    crypto_onetimeauth_poly1305_update(mac, last, zeros + 16);
    crypto_onetimeauth_poly1305_final(mac, tag);
}

void auth_seal(const struct auth_frame *frame, void *to, const void *from, size_t size)
{
    crypto_onetimeauth_poly1305_state mac;
    uint8_t nonce[12], tag[AUTH_TAG_SIZE], piece[PIECE], *out = to;
    const uint8_t *in = from;

    make_nonce(nonce, frame);
    begin(&mac, nonce, frame->key);
    for (size_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? size - at : PIECE;
        const uint8_t *bytes = in + at;
        if (frame->secret) {
            crypto_stream_chacha20_ietf_xor_ic(piece, bytes, n, nonce, (uint32_t)(at / 64 + 1),
                                               frame->key);
            bytes = piece;
        }
        crypto_onetimeauth_poly1305_update(&mac, bytes, n);
        memcpy(out + at, bytes, n);
    }
    finish(&mac, tag, size, frame->secret);
    memcpy(out + size, tag, sizeof tag);
}

bool auth_open(const struct auth_frame *frame, void *to, const void *from, size_t size)
{
    crypto_onetimeauth_poly1305_state mac;
    uint8_t nonce[12], tag[AUTH_TAG_SIZE], wanted[AUTH_TAG_SIZE], *out = to;
    const uint8_t *in = from;

    make_nonce(nonce, frame);
    begin(&mac, nonce, frame->key);
    memcpy(tag, in + size, sizeof tag);
    for (size_t at = 0; at < size; at += PIECE) {
        size_t n = size - at < PIECE ? size - at : PIECE;
        memcpy(out + at, in + at, n);
        crypto_onetimeauth_poly1305_update(&mac, out + at, n);
        if (frame->secret)
            crypto_stream_chacha20_ietf_xor_ic(out + at, out + at, n, nonce,
                                               (uint32_t)(at / 64 + 1), frame->key);
    }
    finish(&mac, wanted, size, frame->secret);
    if (crypto_verify_16(tag, wanted) == 0)
        return true;
    sodium_memzero(out, size);
    return false;
}

/* ---- statements ---- */

void auth_derive(uint8_t out[AUTH_KEY_SIZE], const uint8_t *key, const void *statement, size_t size)
{
    crypto_generichash(out, AUTH_KEY_SIZE, statement, size, key, AUTH_KEY_SIZE);
}

void auth_prove(uint8_t out[AUTH_MAC_SIZE], const uint8_t *key, const void *statement, size_t size)
{
    crypto_generichash(out, AUTH_MAC_SIZE, statement, size, key, AUTH_KEY_SIZE);
}

bool auth_equal(const uint8_t a[AUTH_MAC_SIZE], const uint8_t b[AUTH_MAC_SIZE])
{
    return crypto_verify_16(a, b) == 0;
}

/* ---- keys ---- */

struct vault_page {
    struct vault_page *next;
    uint8_t *keys;
    bool taken[PAGE_KEYS];
};

static struct vault_page *new_page(struct vault *vault)
{
    struct vault_page *page = calloc(1, sizeof *page);
    if (page == NULL)
        return NULL;
    page->keys = wiped_new(PAGE_SIZE);
    if (page->keys == NULL) {
        free(page);
        return NULL;
    }
    wiped_hide(page->keys, PAGE_SIZE);
    page->next = vault->first;
    vault->first = page;
    return page;
}

uint8_t *vault_take(struct vault *vault)
{
    for (struct vault_page *page = vault->first; page != NULL; page = page->next)
        for (size_t i = 0; i < PAGE_KEYS; i++)
            if (!page->taken[i]) {
                page->taken[i] = true;
                return page->keys + i * AUTH_KEY_SIZE;
            }
    struct vault_page *page = new_page(vault);
    if (page == NULL)
        return NULL;
    page->taken[0] = true;
    return page->keys;
}

void vault_give(struct vault *vault, uint8_t *key)
{
    if (key == NULL)
        return;
    sodium_memzero(key, AUTH_KEY_SIZE);
    for (struct vault_page *page = vault->first; page != NULL; page = page->next)
        if (key >= page->keys && key < page->keys + PAGE_SIZE)
            page->taken[(size_t)(key - page->keys) / AUTH_KEY_SIZE] = false;
}

void vault_close(struct vault *vault)
{
    while (vault->first != NULL) {
        struct vault_page *page = vault->first;
        vault->first = page->next;
        sodium_memzero(page->keys, PAGE_SIZE);
        wiped_free(page->keys, PAGE_SIZE);
        free(page);
    }
}
