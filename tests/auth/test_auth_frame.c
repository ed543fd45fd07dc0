/* SPDX-License-Identifier: MIT */
/* Frames are RFC 8439's, as libsodium makes them in one call; any bit of them counts; vaults are wiped. */
#include "support/harness.h"

#include <sodium.h>

#include "auth/auth.h"

enum { MOST = 3 * 4096 + 70 };

static uint8_t key[AUTH_KEY_SIZE] = {9, 8, 7};
static uint8_t plain[MOST], sealed[MOST + AUTH_TAG_SIZE], opened[MOST], wanted[MOST + AUTH_TAG_SIZE];

static void prepare(void)
{
    uint64_t state = test_seed();

    CHECK_OK(auth_ready());
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)random_next(&state);
}

TEST_THAT(frames_are_those_of_libsodium)
{
    prepare();
    for (size_t size = 0; size <= MOST; size += size < 300 ? 1 : 97)
        for (int secret = 0; secret < 2; secret++) {
            struct auth_frame frame = {key, 0x0102030405060708, 0x0a0b0c0d, size % 2 == 1, secret};
            uint8_t nonce[12] = {8, 7, 6, 5, 4, 3, 2, size % 2 ? 0x81 : 1, 0x0d, 0x0c, 0x0b, 0x0a};

            if (secret) {
                crypto_aead_chacha20poly1305_ietf_encrypt(wanted, NULL, plain, size, NULL, 0, NULL, nonce, key);
            } else {
                memcpy(wanted, plain, size);
                crypto_aead_chacha20poly1305_ietf_encrypt(wanted + size, NULL, NULL, 0, plain, size, NULL,
                                                          nonce, key);
            }
            auth_seal(&frame, sealed, plain, size);
            CHECK_MEM(sealed, size + AUTH_TAG_SIZE, wanted, size + AUTH_TAG_SIZE);
            CHECK(auth_open(&frame, opened, sealed, size));
            CHECK_MEM(opened, size, plain, size);
        }
}

static void check_refused(const struct auth_frame *frame, size_t size)
{
    memset(opened, 0xee, size);
    CHECK(!auth_open(frame, opened, sealed, size));
    for (size_t i = 0; i < size; i++)
        CHECK_INT(opened[i], 0); /* nothing of it is left */
}

TEST_THAT(every_bit_counts)
{
    static const size_t sizes[] = {0, 1, 16, 64, 96, 4097};

    prepare();
    for (size_t s = 0; s < COUNT_OF(sizes); s++)
        for (int secret = 0; secret < 2; secret++) {
            size_t size = sizes[s], step = size > 1000 ? 331 : 1;
            struct auth_frame frame = {key, 5, 6, false, secret}, other = frame;
            uint8_t other_key[AUTH_KEY_SIZE];

            auth_seal(&frame, sealed, plain, size);
            for (size_t bit = 0; bit < 8 * (size + AUTH_TAG_SIZE); bit += step) {
                sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
                check_refused(&frame, size);
                sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            other.ticket++;
            check_refused(&other, size);
            other = frame;
            other.tag++;
            check_refused(&other, size);
            other = frame;
            other.packed = true;
            check_refused(&other, size);
            other = frame;
            other.secret = !secret;
            if (size > 0)
                check_refused(&other, size);
            memcpy(other_key, key, sizeof key);
            other_key[31] ^= 1;
            other = frame;
            other.key = other_key;
            check_refused(&other, size);
            if (size > 0)
                check_refused(&frame, size - 1);
            CHECK(auth_open(&frame, opened, sealed, size));
        }
}

TEST_THAT(a_vault_gives_keys_again_wiped)
{
    struct vault vault = {0};
    uint8_t *keys[1000];

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT_OF(keys); i++) {
            keys[i] = CHECK_PTR(vault_take(&vault));
            for (unsigned k = 0; k < AUTH_KEY_SIZE; k++)
                CHECK_INT(keys[i][k], 0);
            memset(keys[i], (int)(i + 1), AUTH_KEY_SIZE);
        }
        for (unsigned i = 0; i < COUNT_OF(keys); i++) {
            CHECK_INT(keys[i][31], (uint8_t)(i + 1)); /* nobody else's */
            vault_give(&vault, keys[i]);
        }
    }
    vault_give(&vault, NULL);
    vault_close(&vault);
    CHECK(vault.first == NULL);
}
