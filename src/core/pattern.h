/* SPDX-License-Identifier: MIT */
/* Everything that a pattern may use of the core. */
#ifndef SHMQ_CORE_PATTERN_H
#define SHMQ_CORE_PATTERN_H

#include "core/kind.h"
#include "core/peer.h"
#include "core/rx.h"
#include "core/session.h"
#include "core/socket.h"
#include "core/tx.h"

#endif
