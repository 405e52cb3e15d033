/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every glfs_* call begins with, and per-thread state. */
#include "internal.h"

#include <time.h>

__thread struct thread_state thread_state
    __attribute__((tls_model("initial-exec")));

/* All of these have been seen after successful calls of the real library,
 * ENOENT after every read that reached the end of the file. */
int garbage_errno(void)
{
    static const int garbage[] = { ENOENT, EAGAIN, 0, ENOTCONN, EINTR, EINVAL };

    return garbage[thread_state.garbage++ % (sizeof(garbage) / sizeof(int))];
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return UINT64_C(1000000000) * (uint64_t)now.tv_sec + (uint64_t)now.tv_nsec;
}

void sleep_us(uint64_t us)
{
    struct timespec left = { (time_t)(us / 1000000),
                             (long)(us % 1000000 * 1000) };

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

struct verdict enter(enum fake_op op, const char *volume)
{
    count(&record.op[op].calls, 1);
    if (thread_state.callback_depth)
        violation(FAKE_V_CALL_IN_CALLBACK, op,
                  "called from inside a completion callback");
    if (atomic_load_explicit(&active_rules, memory_order_relaxed))
        return verdict_lookup(op, volume);
    return (struct verdict){ FAKE_PASS, 0, 0 };
}

bool suffer(enum fake_op op, struct verdict *verdict)
{
    switch (verdict->action) {
    case FAKE_HOLD:
        if (!hold_caller(op, &verdict->err)) {
            errno = verdict->err;
            return false;
        }
        break;
    case FAKE_DELAY:
        sleep_us((uint64_t)verdict->arg);
        break;
    case FAKE_FAIL:
    case FAKE_REFUSE:
        errno = verdict->err;
        return false;
    default:
        break;
    }
    return true;
}

bool enter_sync(enum fake_op op, const char *volume, struct verdict *verdict)
{
    *verdict = enter(op, volume);
    return suffer(op, verdict);
}

bool check_fs(enum fake_op op, const glfs_t *fs)
{
    if (!fs) {
        errno = EINVAL;
        return false;
    }
    switch (atomic_load_explicit(&fs->state, memory_order_acquire)) {
    case FS_READY:
        return true;
    case FS_NEW:
    case FS_FAILED:
        violation(FAKE_V_USE_BEFORE_INIT, op, "glfs_init has not succeeded");
        break;
    default:
        violation(FAKE_V_USE_AFTER_FINI, op, "called after glfs_fini");
        break;
    }
    errno = EINVAL;
    return false;
}

bool check_fd(enum fake_op op, const glfs_fd_t *fd)
{
    if (fd && !atomic_load_explicit(&fd->closed, memory_order_acquire))
        return check_fs(op, fd->fs);
    if (fd)
        violation(FAKE_V_USE_AFTER_CLOSE, op, "called on a closed fd");
    errno = EBADF;
    return false;
}
