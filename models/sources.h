/* SPDX-License-Identifier: MIT */
/*
 * The files of src/ that the models run. Only this header names them: a model defines RUNS_... for each part it
 * runs, and world.h (or the model itself) includes this. A file that is split or renamed is followed here.
 *
 * They become one translation unit, so static functions of the same name are told apart.
 */
#ifndef SHMQ_MODELS_SOURCES_H
#define SHMQ_MODELS_SOURCES_H

#include "core/event.h"
#include "core/fast_path.h"
#include "core/membership.h"
#include "core/memory.h"
#include "core/peer.h"
#include "core/pipe.h"
#include "core/session.h"
#include "core/socket_wait.h"
#include "core/view_ref.h"
#include "transport/os.h"

#ifdef RUNS_PIPE
#include "core/peer.c"
#include "core/pipe.c"
#include "core/pipe_meet.c"
#include "core/pipe_ring.c"
#endif

#ifdef RUNS_TX
#include "core/tx.c"
#include "core/tx_memory.c"
#include "core/tx_room.c"
#include "transport/arena.c"
#include "transport/ring_out.c"
#endif

#ifdef RUNS_RX
#include "core/rx.c"
#define take take_view_ref
#include "core/view_ref.c"
#undef take
#include "transport/ring_in.c"
#endif

#ifdef RUNS_CLAIMS
#include "transport/claims.c"
#endif

#ifdef RUNS_MEMBERSHIP
#define find find_membership
#include "core/membership.c"
#undef find
#define look_at look_at_connector
#include "core/membership_bound.c"
#undef look_at
#define look    look_at_endpoint
#define look_at look_at_binder
#include "core/membership_connected.c"
#undef look
#undef look_at
#endif

#ifdef RUNS_WAIT
#include "core/socket_wait.c"
#include "core/waitable.c"
#include "core/waitable_fd.c"
#include "core/waitable_many.c"
#define map      map_bell
#define set_name set_bell_name
#include "transport/bell.c"
#undef map
#undef set_name
#endif

#ifdef RUNS_MEMORY
#include "core/memory.c"
#endif

#ifdef RUNS_API
#include "core/api.c"
#endif

#ifdef RUNS_ENDPOINT
#include "transport/endpoint.c"
#include "transport/endpoint_records.c"
#include "transport/shared_file.c"
#endif

#ifdef RUNS_SESSION
#include "core/session.c"
#include "core/session_proof.c"
#endif

#endif
