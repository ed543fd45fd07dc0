/* SPDX-License-Identifier: MIT */
/* The table of socket kinds. A new kind gets its line here. */
#include "shmq.h"
#include "core/kind.h"

extern const struct kind kind_pair, kind_pub, kind_sub, kind_req, kind_rep, kind_dealer, kind_router, kind_pull,
    kind_push, kind_xpub, kind_xsub;

const struct kind *const socket_kinds[KIND_COUNT] = {
    [SHM_PAIR] = &kind_pair, [SHM_PUB] = &kind_pub,       [SHM_SUB] = &kind_sub,       [SHM_REQ] = &kind_req,
    [SHM_REP] = &kind_rep,   [SHM_DEALER] = &kind_dealer, [SHM_ROUTER] = &kind_router, [SHM_PULL] = &kind_pull,
    [SHM_PUSH] = &kind_push, [SHM_XPUB] = &kind_xpub,     [SHM_XSUB] = &kind_xsub,
};
