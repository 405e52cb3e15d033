/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * blkgluster.h - block I/O on GlusterFS for hosts written in C.
 *
 * GENERATED from src/abi.rs by cbindgen; do not edit. `scripts/header` updates it.
 *
 * CONVENTIONS
 *   Units      Offsets, lengths and sizes are bytes, except where a name says `sector`: a sector is
 *              BLK_SECTOR_SIZE (512) bytes on every volume.
 *   Errors     A function that returns a number returns -errno on failure (errno of <errno.h>, never 0
 *              for a failure). Where it takes a BlkError, that is filled on failure and left alone on
 *              success; pass NULL and the sentence goes to the host's `report` instead.
 *              A function that returns a BlkAiocb * returns NULL when it refuses the request; errno of
 *              the calling thread then tells why, `report` gets the sentence, and the callback is
 *              never called.
 *   Ownership  A const pointer is input: the library copies what it needs before it returns. Other
 *              pointers are outputs, written only as their text says. The library never frees what the
 *              host allocated, and the host frees nothing that the library returned. Static tables
 *              (BlkDriver and what it points to) live until the process ends, also after dlclose.
 *   Structs    Every struct that both sides may grow begins with struct_size (sizeof as its maker
 *              compiled it). They are append-only. BlkOption and struct iovec are frozen for ever.
 *   NULL       A slot of BlkDriver may be NULL in a later version: check before calling.
 *
 * LIFECYCLE
 *
 *   dlopen, dlsym "blkgluster_init"
 *      |
 *   blkgluster_init(host) ----> host.register_driver(), four times
 *      |
 *   drv->create(uri, ...)            makes an image
 *      |
 *   drv->open(bs, options, ...) ---> host.set_fd_handler(bs, fd, on_readable, arg)
 *      |
 *      |   drv->aio_*(bs, ..., cb, opaque)   any thread
 *      |        ...                          a Gluster thread finishes it, the fd becomes readable
 *      |   on_readable(arg)                  the thread that polls the fd
 *      |        '--> cb(opaque, ret)         exactly once for each accepted request
 *      |
 *   drv->close(bs) ---------> outstanding callbacks, then host.set_fd_handler(bs, fd, NULL, NULL)
 *      |
 *   drv->release()                   only if the host wants to dlclose and load again
 *      |
 *   dlclose                          the code stays mapped, since Gluster's threads outlive it
 *
 * THREADS
 *   blkgluster_init, release     one thread at a time.
 *   create, create_with_progress, has_zero_init
 *                                any thread.
 *   aio_* (not aio_cancel; also aio_copy_range), io_plug, io_unplug
 *                                any thread, also several at once on one image, also inside callbacks.
 *   getlength, get_allocated_file_size, truncate, block_status, lock_acquire, lock_change, reopen_abort
 *                                any thread, also inside callbacks; they block for some network round trips.
 *   truncate_with_preallocation  any thread, also inside callbacks; blocks for as long as it takes.
 *   get_statistics, format_statistics, is_ready
 *                                any thread, also inside callbacks; they wait for nothing.
 *   get_limits, get_completion_fd, get_in_flight, is_read_only, drain_end, attach_fd_handler
 *                                any thread, also inside callbacks; they ask no brick.
 *   detach_fd_handler            the thread that polls, or another one while that does not; also inside a callback.
 *   open                         any thread; one at a time for one BlkState.
 *   on_readable, dispatch, aio_cancel, drain, drain_begin, close, lock_release, reopen_prepare, reopen_commit
 *                                the thread that drains the image's completion fd; also inside a callback.
 *   request_error                inside a callback, on its thread.
 *   Callbacks run only inside on_readable and what stands with it (inside reopen_prepare only when it hands the lock
 *   over to another connection), never inside aio_readv and its kin, and never on one of Gluster's threads. A callback may submit, cancel, close this or another image, or run a nested poll loop.
 *   `report` may come from any thread and must not call back into the library.
 *
 * SIGNALS
 *   Gluster writes to sockets whose other end may be gone. So blkgluster_init makes the process ignore SIGPIPE if that
 *   would end it, which the programs that it starts inherit; a handler of the host's stays, and so does SIG_IGN after
 *   release. Do not set SIGPIPE back to its default.
 *   No thread that the library or Gluster starts runs the host's signal handlers.
 *
 * FORK
 *   Gluster's connections do not survive fork. Fork before the first open or create; in a child that was forked later
 *   every call fails: -EBADF for an image that the parent opened, -EINVAL for open and create.
 */


#ifndef BLKGLUSTER_H
#define BLKGLUSTER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/**
 * A request in flight. The library owns it; the handle is valid until its callback has returned. Never
 * dereference it. A handle that is no longer valid is recognised, and cancelling it does nothing.
 */
typedef struct BlkAiocb BlkAiocb;

/**
 * Version of this header. A table with another `abi_version` is refused with -EINVAL; within
 * one version structs only grow at their end.
 */
#define BLK_ABI_VERSION 1

/**
 * Bytes in a sector of the sector calls.
 */
#define BLK_SECTOR_SIZE 512

/**
 * Open flag: reads and writes; without it the image is read-only.
 */
#define BLK_O_RDWR 2

/**
 * Open flag: bypass the caches. The bricks open the file with O_DIRECT. Requests of any offset and
 * length are taken: those that are not made of whole blocks of the bricks' (512 or 4096 bytes; 4096
 * serves all, but for some disperse volumes) go through their page caches, where the rest of a block
 * stays as it is, whoever else writes it. Write-behind is in pass-through as with option `write-cache=off`: a write is acknowledged only when it is on the
 * bricks.
 */
#define BLK_O_NOCACHE 32

/**
 * aio_write_zeroes flag: the space of what is zero need not stay allocated.
 */
#define BLK_ZERO_MAY_UNMAP 1

/**
 * BlkBlockStatus.flags: the bytes may hold data; nothing else is known of them.
 */
#define BLK_STATUS_DATA 1

/**
 * BlkBlockStatus.flags: the bytes read as zero.
 */
#define BLK_STATUS_ZERO 2

/**
 * BlkBlockStatus.flags, with BLK_STATUS_ZERO: the bricks hold no data there. Space may have been
 * allocated all the same, by preallocation or aio_write_zeroes.
 */
#define BLK_STATUS_HOLE 4

/**
 * Preallocation: new space is allocated as it is written.
 */
#define BLK_PREALLOC_OFF 0

/**
 * Preallocation: new space is allocated at once (fallocate).
 */
#define BLK_PREALLOC_FALLOC 1

/**
 * Preallocation: new space is allocated and filled with zeroes at once, by the bricks where they
 * can.
 */
#define BLK_PREALLOC_FULL 2

/**
 * Open flag, with locking: no lock is taken yet; lock_change does.
 */
#define BLK_O_LOCK_LATER 256

/**
 * lock_change: this host writes the image.
 */
#define BLK_LOCK_WRITE 1

/**
 * lock_change: nobody else may write it.
 */
#define BLK_LOCK_FORBID_WRITE 2

/**
 * Report level: an operation failed.
 */
#define BLK_REPORT_ERROR 0

/**
 * Report level: it works, but not as asked (for example RDMA that became TCP).
 */
#define BLK_REPORT_WARNING 1

/**
 * Report level: worth knowing.
 */
#define BLK_REPORT_INFO 2

/**
 * Report level: one step of an image, or one of its requests. Only for an image that was opened or
 * created with option `trace`; a host that does not know this level treats it as BLK_REPORT_INFO, or
 * drops it.
 */
#define BLK_REPORT_DEBUG 3

/**
 * BlkError.stage: no error.
 */
#define BLK_STAGE_NONE 0

/**
 * BlkError.stage: an argument, an option or the URI was wrong; nothing was contacted.
 */
#define BLK_STAGE_PARSE 1

/**
 * BlkError.stage: the connection to the volume failed.
 */
#define BLK_STAGE_CONNECT 2

/**
 * BlkError.stage: the image could not be opened or created.
 */
#define BLK_STAGE_OPEN 3

/**
 * BlkError.stage: an operation on an open image failed.
 */
#define BLK_STAGE_IO 4

/**
 * format_statistics: lines for a person. Their wording may change.
 */
#define BLK_STATISTICS_TEXT 0

/**
 * format_statistics: one JSON object (RFC 8259), without a newline at its end. Later versions add
 * members.
 */
#define BLK_STATISTICS_JSON 1

/**
 * format_statistics: Prometheus' text format, version 0.0.4 (Content-Type
 * `text/plain; version=0.0.4`). Metrics are named blkgluster_*, and have a label `image`, its URI.
 * Later versions add metrics.
 */
#define BLK_STATISTICS_PROMETHEUS 2

/**
 * BlkLatency.buckets.
 */
#define BLK_LATENCY_BUCKETS 32

/**
 * BlkOperations.failed: its elements.
 */
#define BLK_FAILED_CLASSES 8

/**
 * BlkOperations.failed: with -ENOTCONN, the bricks were out of reach.
 */
#define BLK_FAILED_ENOTCONN 0

/**
 * BlkOperations.failed: with -EBADFD, the bricks no longer knew the open file.
 */
#define BLK_FAILED_EBADFD 1

/**
 * BlkOperations.failed: with -EIO.
 */
#define BLK_FAILED_EIO 2

/**
 * BlkOperations.failed: with -ENOSPC or -EDQUOT, the bricks were full.
 */
#define BLK_FAILED_ENOSPC 3

/**
 * BlkOperations.failed: with -ECANCELED.
 */
#define BLK_FAILED_ECANCELED 4

/**
 * BlkOperations.failed: with another errno.
 */
#define BLK_FAILED_OTHER 5

/**
 * One option that `create` understands. Lists end with a NULL name.
 */
typedef struct BlkCreateOption {
    /**
     * Name of the option.
     */
    const char *name;
    /**
     * Form of its value: "size" is a whole number of bytes in decimal, with an optional suffix of
     * either case, b (bytes), k, M, G, T, P or E (powers of 1024), as QEMU reads them, but without a
     * fraction; "a|b|c" is one of these words. Later versions may add forms.
     */
    const char *kind;
    /**
     * One line for a person.
     */
    const char *help;
} BlkCreateOption;

/**
 * Where one member of a struct lies, as the library was compiled. A host compares this with its
 * own offsetof and sizeof to make sure that both were built from the same header. Lists end with a
 * NULL name.
 */
typedef struct BlkLayout {
    /**
     * "Struct.member", or "Struct" for a whole struct.
     */
    const char *name;
    /**
     * offsetof(Struct, member); 0 for a whole struct.
     */
    size_t offset;
    /**
     * sizeof the member, or of the whole struct.
     */
    size_t size;
} BlkLayout;

/**
 * One image as the host holds it, the counterpart of the seed's BlockDriverState. The host
 * allocates it and keeps it in place from open to close.
 */
typedef struct BlkState {
    /**
     * sizeof(BlkState).
     */
    size_t struct_size;
    /**
     * The driver it is opened with. For the host's own use; the library does not read it.
     */
    const struct BlkDriver *drv;
    /**
     * `drv->instance_size` zeroed bytes, aligned to 8, allocated by the host. The library keeps
     * its state of the image there from open to close, and leaves it zeroed after close and after
     * a failed open.
     */
    void *opaque;
    /**
     * For the host's own use; the library does not read it.
     */
    void *host_data;
} BlkState;

/**
 * A name and its value, both NUL-terminated text. Frozen: it will never grow. Lists end with a
 * NULL name. The seed's counterpart is QEMUOptionParameter.
 */
typedef struct BlkOption {
    /**
     * Name of the option, NULL at the end of a list.
     */
    const char *name;
    /**
     * Its value as text; NULL is -EINVAL.
     */
    const char *value;
} BlkOption;

/**
 * Why a call failed. The host allocates it and sets struct_size; the rest is written on failure
 * only.
 */
typedef struct BlkError {
    /**
     * sizeof(BlkError), set by the host before the call. A shorter one than this is -EINVAL.
     */
    size_t struct_size;
    /**
     * The errno as a positive number, the same as the returned one.
     */
    int error;
    /**
     * One of BLK_STAGE_*.
     */
    int stage;
    /**
     * A sentence for a person, naming image, volume and server; NUL-terminated. What does
     * not fit is left out of its middle, and of a long list of servers, never the reason at its end.
     */
    char message[1024];
} BlkError;

/**
 * Called once for each accepted request, on the thread that drains the image's completion fd.
 * `ret` is 0 on success and -errno on failure. `opaque` is the one given with the request.
 */
typedef void (*BlkCompletionFunc)(void *opaque, int ret);

/**
 * What a range of an image holds. The host allocates it and sets struct_size; the rest is written
 * on success only.
 */
typedef struct BlkBlockStatus {
    /**
     * sizeof(BlkBlockStatus), set by the host before the call. A shorter one than this is -EINVAL.
     */
    size_t struct_size;
    /**
     * So many bytes from the offset on are alike: 1 or more, and never more than was asked about
     * (0 when that was 0).
     */
    int64_t length;
    /**
     * What they hold: BLK_STATUS_DATA, BLK_STATUS_ZERO, or BLK_STATUS_ZERO | BLK_STATUS_HOLE.
     * Later versions may add bits.
     */
    uint32_t flags;
    /**
     * Zero.
     */
    uint32_t reserved;
} BlkBlockStatus;

/**
 * What a host keeps to so that nothing has to be cut into pieces or refused. The host allocates it
 * and sets struct_size; the rest is written on success only. Later versions add members at the
 * end: what a larger struct of the host's holds beyond those that the library knows is left alone.
 */
typedef struct BlkLimits {
    /**
     * sizeof(BlkLimits), set by the host before the call. A shorter one than this is -EINVAL.
     */
    size_t struct_size;
    /**
     * Bytes of the largest read or write to make. Larger ones are accepted, and cut into calls of
     * 16 MiB that go all at once; libgfapi copies what is written.
     */
    int64_t max_transfer;
    /**
     * Bytes of a read or write that the volume is best at, when there is a choice.
     */
    int64_t opt_transfer;
    /**
     * Bytes of the largest discard.
     */
    int64_t max_discard;
    /**
     * Bytes of the largest aio_write_zeroes.
     */
    int64_t max_write_zeroes;
    /**
     * Bytes of the longest image.
     */
    int64_t max_length;
    /**
     * Offsets and lengths of reads and writes are multiples of so many bytes: 1, also with
     * BLK_O_NOCACHE, with which multiples of 4096 are best.
     */
    uint32_t request_alignment;
    /**
     * Most buffer elements of a read or write; one of more is cut.
     */
    uint32_t max_iov;
} BlkLimits;

/**
 * Told by create_with_progress and truncate_with_preallocation, on the thread that called them,
 * that `done` of `total` bytes have their space: with 0 at first, then after each chunk of up to
 * 64 MiB. `opaque` is the one given with the call. Returns 0 to go on; anything else ends the call
 * with -ECANCELED. It may use the image, but must neither close nor drain it, nor give up its
 * lock, nor wait for requests that reach past its end.
 */
typedef int (*BlkProgressFunc)(void *opaque, int64_t done, int64_t total);

/**
 * One option that `open` understands. Lists end with a NULL name. Frozen for ever.
 */
typedef struct BlkOpenOption {
    /**
     * Name of the option. Where it has a number or a name of its own in it, that is written as
     * `server.N.host` and `xlator.PATTERN.KEY`, and the text of `open` says what may stand there.
     */
    const char *name;
    /**
     * Form of its value: as in BlkCreateOption, or "string" for any text, or "1-3600" for a whole
     * decimal number from 1 to 3600.
     */
    const char *kind;
    /**
     * The value that stands for none. NULL: leaving it out says something that no value does.
     */
    const char *default_value;
    /**
     * One line for a person.
     */
    const char *help;
    /**
     * 1: `create` understands it, too. 0: it does not, and answers -EINVAL.
     */
    int for_create;
    /**
     * Zero.
     */
    uint32_t reserved;
} BlkOpenOption;

/**
 * How long requests took, from when they were accepted to when the thread that calls their
 * callback found them done: their wait for a place among the 64 calls in flight, and for the host
 * to dispatch, included. Requests that failed are not in it. Frozen: it will never grow.
 */
typedef struct BlkLatency {
    /**
     * Nanoseconds, of all together.
     */
    uint64_t total_ns;
    /**
     * Nanoseconds, of the one that took longest.
     */
    uint64_t longest_ns;
    /**
     * How many took so long, by powers of two of microseconds: buckets[0] up to 1 us, buckets[n] more
     * than 2^(n-1) us up to 2^n us, and the last one more than 2^30 us (18 minutes).
     */
    uint64_t buckets[BLK_LATENCY_BUCKETS];
} BlkLatency;

/**
 * What became of the requests of one kind, since the image was opened. Frozen: it will never grow.
 */
typedef struct BlkOperations {
    /**
     * Requests that were accepted.
     */
    uint64_t submitted;
    /**
     * Of these, that have succeeded; the sum of latency.buckets.
     */
    uint64_t succeeded;
    /**
     * Bytes of those that have succeeded, as asked for; of a discard, as far as it lay within the
     * image; 0 for flushes.
     */
    uint64_t bytes;
    /**
     * Of these, that have failed, by errno: BLK_FAILED_*. Elements that have no name are 0.
     */
    uint64_t failed[BLK_FAILED_CLASSES];
    /**
     * Of those that have succeeded.
     */
    struct BlkLatency latency;
} BlkOperations;

/**
 * What an image has done since it was opened. The host allocates it and sets struct_size; the rest
 * is written on success only. Later versions add members at the end: what a larger struct of the
 * host's holds beyond those that the library knows is left alone.
 */
typedef struct BlkStatistics {
    /**
     * sizeof(BlkStatistics), set by the host before the call. A shorter one than this is -EINVAL.
     */
    size_t struct_size;
    /**
     * Nanoseconds since the image was opened.
     */
    uint64_t open_ns;
    /**
     * Reads.
     */
    struct BlkOperations read;
    /**
     * Writes.
     */
    struct BlkOperations write;
    /**
     * Flushes.
     */
    struct BlkOperations flush;
    /**
     * Discards.
     */
    struct BlkOperations discard;
    /**
     * Writes of zeroes.
     */
    struct BlkOperations write_zeroes;
    /**
     * Copies (aio_copy_range).
     */
    struct BlkOperations copy;
    /**
     * Requests accepted whose callback was not yet due. The request that a callback is called for is
     * not among them.
     */
    uint64_t in_flight;
    /**
     * Most that were in flight at a time.
     */
    uint64_t most_in_flight;
    /**
     * Submissions that were refused (NULL handle) while the image was open.
     */
    uint64_t refused;
    /**
     * Calls to libgfapi that were made for several requests that lie side by side, ...
     */
    uint64_t merged_calls;
    /**
     * ... and the requests in them.
     */
    uint64_t merged_requests;
    /**
     * Requests of such calls that were sent again alone, since the call failed or fell short.
     */
    uint64_t unmerged_requests;
    /**
     * Requests too large for one call, ...
     */
    uint64_t split_requests;
    /**
     * ... and the calls that were made for them.
     */
    uint64_t split_calls;
    /**
     * Reads that got less than they asked for, and were sent on for the rest.
     */
    uint64_t short_reads;
    /**
     * Fsyncs that were made for flushes: flushes that wait for one share the next.
     */
    uint64_t fsyncs;
    /**
     * With BLK_O_NOCACHE: requests that O_DIRECT does not take, since they are not made of whole
     * blocks.
     */
    uint64_t bounced;
    /**
     * Reads that were sent again after a failure.
     */
    uint64_t read_retries;
    /**
     * Times that the image was opened anew on the bricks after a disconnect.
     */
    uint64_t reconnects;
    /**
     * Requests that were reported for being slow.
     */
    uint64_t slow_requests;
} BlkStatistics;

/**
 * A driver: one of the four protocols. Static, never changes, lives until the process ends. The
 * names of the slots are the seed's without their `bdrv_`.
 */
typedef struct BlkDriver {
    /**
     * sizeof(BlkDriver) of the library. A host must not read slots beyond it.
     */
    size_t struct_size;
    /**
     * BLK_ABI_VERSION of the library.
     */
    uint32_t abi_version;
    /**
     * 1: an image is named by a URI (option `filename`).
     */
    int needs_filename;
    /**
     * "gluster" for all four.
     */
    const char *format_name;
    /**
     * "gluster", "gluster+tcp", "gluster+unix" or "gluster+rdma": the scheme of the URIs that it
     * opens. A driver opens only its own scheme.
     */
    const char *protocol_name;
    /**
     * Version of the library, such as "1.0.0".
     */
    const char *library_version;
    /**
     * Bytes that the host allocates, zeroed, behind BlkState.opaque.
     */
    size_t instance_size;
    /**
     * What `create` understands.
     */
    const struct BlkCreateOption *create_options;
    /**
     * Layout of every struct of this header.
     */
    const struct BlkLayout *layout;
    /**
     * Opens an image.
     *
     * Options: `filename`, the URI
     * gluster[+transport]://[server[:port]]/volume/path[?socket=...] (further servers to try:
     * ?server=server[:port]&server=...), or in its place `volume`, `path` and for N from 0 to 31
     * `server.N.host`, `server.N.port` (default 24007), or `server.N.path` for a socket, and
     * `server.N.type` inet|unix where the others do not tell (also tcp for inet, and
     * `server.N.socket` for the path); the driver "gluster" takes both kinds, the others their own.
     * Servers are tried in this order · `write-cache` on|off,
     * whether Gluster's write-behind may acknowledge writes from memory (default off; `on` is -EINVAL
     * with BLK_O_NOCACHE, and without effect on sharded volumes; the README says what `on` costs when a
     * brick is lost) · `connect-timeout` seconds, 1
     * to 3600, default 30 · `keep-connection` seconds, 0 to 3600, default 30, that the connection is
     * kept for the next image after this one, when it is the last · `on-disconnect`
     * report|stall:SECONDS, 0 to 86400, default report: whether requests fail at once while the bricks
     * are out of reach, or those that were not sent, and reads, wait so long for them (-EINVAL with
     * write-cache=on; a write, discard, write of zeroes or flush that was sent and failed is reported in
     * any case, and never sent again by the library; what waits too long ends with -ENOTCONN or -EBADFD,
     * by aio_cancel with -ECANCELED, and close ends the waiting; a copy that its threads have does not wait,
     * and a lock with strict-locks=on is lost with the disconnect: -EBADFD at once when the bricks are back) · `strict-flush` on|off (default off): whether
     * aio_flush, lock_release and reopen_prepare fail (-EIO) from then on, until the image is opened anew, once
     * bricks were away that held writes which no flush had covered, and may have lost power and with it those
     * writes (BLK_REPORT_ERROR, on a thread of the library's; GlusterFS lets the flush succeed) · `slow-request` seconds, 0 (never) to
     * 86400, default 30, after which a request that has not ended is reported once
     * (BLK_REPORT_WARNING, on a thread of the library's), with the bricks that are not connected ·
     * `logfile` path of the file that
     * libgfapi's messages go to, - for stderr, and `debug` their level, 0 (none) to 9 (all), default
     * 4 (errors); without both of them there are none · `ping-timeout` seconds, 1 to 1013, after which
     * a silent brick is given up, and `frame-timeout` seconds, 1 to 86400, after which a single request
     * is (defaults: the volume's, 42 and 1800) · `xlator.PATTERN.KEY` an option of Gluster's
     * translators on the client, of a list of keys that a wrong one makes the error message tell ·
     * `statistics` on|off, whether they are counted (default on) · `trace` off|errors|steps|requests|all,
     * what of this image is reported (BLK_REPORT_DEBUG; default off), each one with those before it:
     * requests that fail · connecting, opening, locking, fsyncs, closing, with their times · requests as
     * they end · requests as they are accepted, and how they are merged · `locking` off|auto|on and `share-rw` off|on
     * (both off by default; `share-rw=on` is -EINVAL without locking):
     *
     * With `locking=on` the image is locked against all others that open it with locking too, in this
     * process (through the same connection or another), in other processes and on other hosts, and so
     * against QEMU with its own locking on a mount of the volume. Whoever comes second and does not fit
     * gets -EBUSY. A reader fits with readers. A writer (BLK_O_RDWR) fits with nobody. `share-rw=on`
     * makes a writer fit with other writers that say so, and takes a reader out of all this: it has no
     * lock and reads what others write. `auto` is `on` for a volume that has locks, and `off` with a
     * report (BLK_REPORT_INFO) for one that has not. The lock is let go of by close and lock_release, and by
     * the bricks, at once, when the process ends in whatever way. They need up to a minute or so to
     * notice that a host has vanished from the network.
     *
     * The lock is advisory: nothing stops who does not ask for it, such as an open with locking=off.
     * Bricks keep it in memory. One that was restarted, or that the network was cut off from for long,
     * has forgotten it, and therefore serves this opening of the image no more: what needs that brick
     * ends with -EBADFD, for reads and flushes as well, until the image is closed and opened again (with
     * replicas the rest goes on while enough of them are left, so bricks that are restarted one after the
     * other end like one that is alone). A flush asks for the lock again, twice a second at most; it is -EBUSY, and writes are -EPERM from then on, when the lock has been lost and is
     * another's. This is why the default is `off`: a host has to be ready for it, and for being refused
     * what it opens a second time.
     *
     * `strict-locks` off|on (default on; -EINVAL without locking), with `off`: such a brick serves this opening
     * on, without its lock until the next flush takes it again, so that bricks may be restarted one after
     * the other under an open image. Until then another one may get the lock of a volume without replicas,
     * and both write; with replicas the others keep it. A reader, who flushes nothing, stays without. The flag
     * BLK_O_LOCK_LATER (-EINVAL with locking=off or share-rw=on) opens without a lock, for lock_change to take one.
     * `auto-read-only` on|off (default off): with BLK_O_RDWR, an image or a volume that answers EROFS,
     * EACCES or EPERM is opened for reading, with a report (BLK_REPORT_WARNING); see is_read_only.
     *
     * `flags`: BLK_O_*; unknown bits are -EINVAL. Blocks until connected. On success the
     * completion fd was given to set_fd_handler. 0, or: -EINVAL bad argument, option, URI (the
     * message holds the usage), or a path that ends with a slash · -EBUSY already open, or locked · -ENOENT no such image or volume · -ENOTCONN
     * no server answered · -EIO the volume is stopped or its bricks are down · -ETIMEDOUT · -EISDIR, -EACCES, -EROFS and what else the bricks answer.
     * Seed: qemu_gluster_open.
     */
    int (*open)(struct BlkState *bs,
                const struct BlkOption *options,
                uint32_t flags,
                struct BlkError *error);
    /**
     * Closes an image: waits for what is in flight and calls its callbacks, removes the fd
     * handler, closes the image and lets go of the connection without waiting for it. It does not
     * flush: what was acknowledged and not flushed may be lost, so flush before it. Closing a closed
     * image does nothing but a report. Seed: qemu_gluster_close.
     */
    void (*close)(struct BlkState *bs);
    /**
     * Creates an image, or cuts an existing one to `size` zero bytes. `filename` is a URI as for
     * open, or NULL when `options` name the place. `options`: those of create_options and the ones
     * of open that shape the connection, with `locking`, that an image which another one has locked
     * is not cut but -EBUSY; NULL is an empty list. `size` is rounded up to a multiple of
     * BLK_SECTOR_SIZE. `preallocation` (off, falloc or full, see BLK_PREALLOC_*; default off)
     * allocates its space at once, which takes its time. When that fails, or the size cannot be
     * set, an image that did not exist before is removed again, and another one is empty.
     *
     * `exists` says what becomes of an image that is there: `cut` (the default, as in the seed) makes
     * it the new one; `fail` is -EEXIST; `keep` is 0, and leaves it as it is, whatever its length. Of
     * several creators with `fail` one succeeds; with `keep` one makes it, and the others may return
     * before it has its size. 0, or: -EINVAL, -EBUSY, -EEXIST as said · -ENOENT no such volume or
     * directory · -EISDIR · and what else open and the bricks answer. Seed: qemu_gluster_create.
     */
    int (*create)(const char *filename, const struct BlkOption *options, struct BlkError *error);
    /**
     * Length of the image in bytes, or -errno. Counts every acknowledged write. Seed:
     * qemu_gluster_getlength.
     */
    int64_t (*getlength)(struct BlkState *bs);
    /**
     * Bytes that the image occupies on one replica, or -errno. Seed:
     * qemu_gluster_allocated_file_size.
     */
    int64_t (*get_allocated_file_size)(struct BlkState *bs);
    /**
     * Sets the length in bytes; new bytes read as zero. A shrink of an image on a sharded volume is
     * -EBUSY while writes or discards are in flight: drain first. Seed: qemu_gluster_truncate.
     */
    int (*truncate)(struct BlkState *bs, int64_t length, struct BlkError *error);
    /**
     * Reads nb_sectors sectors from sector_num on. Requests in flight at the same time have no order
     * among them: a host that needs one, since they overlap, waits for the first one's callback. The elements of `iov` must add up to exactly
     * that many bytes; the array may be freed after the call, the buffers belong to the library
     * until the callback. What lies past the end reads as zero. Seed: qemu_gluster_aio_readv.
     */
    BlkAiocb *(*aio_readv)(struct BlkState *bs,
                           int64_t sector_num,
                           const struct iovec *iov,
                           int iovcnt,
                           int nb_sectors,
                           BlkCompletionFunc cb,
                           void *opaque);
    /**
     * Writes nb_sectors sectors; grows the image when it ends past the end. Buffers as for
     * aio_readv. A write that transfers less than asked is -EIO. Seed: qemu_gluster_aio_writev.
     */
    BlkAiocb *(*aio_writev)(struct BlkState *bs,
                            int64_t sector_num,
                            const struct iovec *iov,
                            int iovcnt,
                            int nb_sectors,
                            BlkCompletionFunc cb,
                            void *opaque);
    /**
     * Puts every write whose callback came before this call on stable storage. 0 means that all of
     * them are there. Does not block: it is made on a thread of the library's, once a flush of
     * this image that is under way has ended; those that wait for that are made as one. -EAGAIN
     * (or what else the system says) in the callback: no thread could be started for it. After a
     * failure the image stays open. After -ENOTCONN, -EBADFD, -EBADF, -ESTALE, -ETIMEDOUT and -EAGAIN the flush
     * may be tried again. After any other errno the bricks may have dropped what they could not write, and
     * would let a second one succeed: every later flush is -EIO, also after a reopen, until the image is
     * opened anew (BLK_REPORT_ERROR). With `write-cache=on`,
     * where acknowledged writes may be gone after any failed write or flush, also after a flush or close of
     * another opening of the image that shares the connection, every later flush is
     * -EIO until the image is opened anew; so it is when an open, create, reopen or block_status by
     * the image's name fails in this process, which may be how Gluster tells of such a write. A brick
     * whose machine lost power, and that is back by now, is not told from one that did not, unless
     * with `strict-flush=on`: see open. Seed: qemu_gluster_aio_flush.
     */
    BlkAiocb *(*aio_flush)(struct BlkState *bs, BlkCompletionFunc cb, void *opaque);
    /**
     * Gives the space of whole sectors back; they read as zero afterwards. Never grows the image, and ends with it, as
     * far as this opening knows its length: what others grew it by counts from the next getlength on.
     * Seed: qemu_gluster_aio_discard.
     */
    BlkAiocb *(*aio_discard)(struct BlkState *bs,
                             int64_t sector_num,
                             int nb_sectors,
                             BlkCompletionFunc cb,
                             void *opaque);
    /**
     * Waits until this one request is done, then calls its callback, and no other's. A request
     * that was not sent to the bricks yet ends with -ECANCELED at once; one that was sent cannot
     * be taken back, and its result is its own (but see aio_write_zeroes). Does nothing for a
     * handle that is no longer valid, or from inside that request's own callback. Seed:
     * qemu_gluster_aio_cancel.
     */
    void (*aio_cancel)(BlkAiocb *acb);
    /**
     * 0: a new image may not read as zero, since a volume can sit on a block device. Seed:
     * qemu_gluster_has_zero_init.
     */
    int (*has_zero_init)(struct BlkState *bs);
    /**
     * aio_readv in bytes, of any offset and length. `flags` is 0.
     */
    BlkAiocb *(*aio_preadv)(struct BlkState *bs,
                            int64_t offset,
                            int64_t bytes,
                            const struct iovec *iov,
                            int iovcnt,
                            uint32_t flags,
                            BlkCompletionFunc cb,
                            void *opaque);
    /**
     * aio_writev in bytes, of any offset and length. `flags` is 0.
     */
    BlkAiocb *(*aio_pwritev)(struct BlkState *bs,
                             int64_t offset,
                             int64_t bytes,
                             const struct iovec *iov,
                             int iovcnt,
                             uint32_t flags,
                             BlkCompletionFunc cb,
                             void *opaque);
    /**
     * aio_discard in bytes. The parts of blocks at both ends read as zero too.
     */
    BlkAiocb *(*aio_pdiscard)(struct BlkState *bs,
                              int64_t offset,
                              int64_t bytes,
                              BlkCompletionFunc cb,
                              void *opaque);
    /**
     * Asks for a request to end early and returns at once; its callback comes as always. One that was
     * not sent to the bricks yet ends with -ECANCELED; one that was sent goes on.
     */
    void (*aio_cancel_async)(BlkAiocb *acb);
    /**
     * Waits until no request of this image is in flight, calling their callbacks. 0 or -errno. While other threads go on
     * submitting it may never end: drain_begin holds back what they submit.
     */
    int (*drain)(struct BlkState *bs);
    /**
     * The fd that is readable while a callback waits to be called, or -errno. It belongs to the
     * library.
     */
    int (*get_completion_fd)(struct BlkState *bs);
    /**
     * Calls the callbacks of all requests that are done, without waiting. Their number, or -errno.
     */
    int (*dispatch)(struct BlkState *bs);
    /**
     * Forgets the host, so that blkgluster_init may be called again (after dlclose and dlopen,
     * say), and none of its functions is called any more: waits for a report that runs on another
     * thread. 0, or -EBUSY while images are open.
     */
    int (*release)(void);
    /**
     * Says that more requests follow at once, so that they may wait for their neighbours and go
     * together. Nests. A host that waits for a request before it unplugs may wait for ever, except
     * in drain, aio_cancel and close. 0 or -errno.
     */
    int (*io_plug)(struct BlkState *bs);
    /**
     * Undoes one io_plug; the last one submits what was held back. 0 or -errno.
     */
    int (*io_unplug)(struct BlkState *bs);
    /**
     * Gives up the lock of an image that was opened with locking and stays open, for another host to
     * take over. Writes, also of zeroes, discards and changes of the length are -EPERM from now on.
     * Waits for those in flight, calling callbacks as drain does, and for the end of a
     * truncate_with_preallocation; then waits until what was written is on stable storage, as after a
     * flush. Reads and flushes may go on. 0, also when it was given up before, or: -EOPNOTSUPP it has
     * no lock (locking=off, or a reader with share-rw=on) · -EBUSY it has lost it to another one, a
     * write is held back by drain_begin, or between reopen_prepare and its commit or abort ·
     * what the flush or the bricks answer: then it has its lock still, and writes go on; only if the
     * bricks answer neither to that, writes are -EPERM until lock_acquire succeeds.
     */
    int (*lock_release)(struct BlkState *bs, struct BlkError *error);
    /**
     * Takes the lock that lock_release gave up; writes go on from here, and getlength counts what
     * others wrote. Blocks for some round trips to the bricks, and for up to a second when the lock
     * is another's. 0, also when it has the lock, or: -EBUSY another one has it, this one is
     * inside lock_release, or between reopen_prepare and its commit or abort · -EOPNOTSUPP as there · what the bricks answer.
     */
    int (*lock_acquire)(struct BlkState *bs, struct BlkError *error);
    /**
     * Makes `bytes` bytes from `offset` on read as zero, of any offset and length, and grows the
     * image when they end past the end: a write of zeroes without a buffer. `flags`:
     * BLK_ZERO_MAY_UNMAP or 0; unknown bits are -EINVAL. Without that flag the space is, or stays,
     * allocated.
     *
     * Made by the bricks where they can (with the flag first by a discard, which is read back),
     * and by writing zeroes where they cannot, as on disperse volumes; there it is as slow as a
     * write. One at a time for each image, on a thread of the library's, as aio_flush;
     * what overlaps it and was submitted later waits for it. One that fails, or was cancelled when
     * it had begun, may have been made in part; a cancelled one ends with -ECANCELED after at most
     * 64 MiB more, and so does one, with -EBUSY, when a flush finds the image's lock to be lost.
     */
    BlkAiocb *(*aio_write_zeroes)(struct BlkState *bs,
                                  int64_t offset,
                                  int64_t bytes,
                                  uint32_t flags,
                                  BlkCompletionFunc cb,
                                  void *opaque);
    /**
     * Tells what `bytes` bytes from `offset` on hold: the first part of them that is alike. Covers
     * every write whose callback came before. Any range may be asked about; what lies past the end
     * of the image reads as zero. Never says zero where data is, but says data where it cannot
     * tell: all of an image on a sharded or disperse volume, and whatever the bricks fail to
     * answer. 0, or: -EINVAL negative numbers, a short struct · -EFBIG a range that ends past 2^63
     * · -EBADF not open.
     *
     * Synchronous, as getlength: any thread, blocks for one or two network round trips (the first
     * call on an image for some more, since it opens it once more, by its path); calls from
     * several threads take turns. While a brick is silent it waits as long as a read would.
     */
    int (*block_status)(struct BlkState *bs,
                        int64_t offset,
                        int64_t bytes,
                        struct BlkBlockStatus *status,
                        struct BlkError *error);
    /**
     * Tells what requests of this image should keep to; the same for as long as it is open, but for a
     * reopen. 0, or: -EINVAL NULL or a short struct · -EBADF not open. Any thread; it asks no brick.
     */
    int (*get_limits)(struct BlkState *bs, struct BlkLimits *limits, struct BlkError *error);
    /**
     * create, which tells how far its preallocation has come. `progress` may be NULL. -ECANCELED
     * when it said so; then there is no new image, and an old one is empty.
     */
    int (*create_with_progress)(const char *filename,
                                const struct BlkOption *options,
                                BlkProgressFunc progress,
                                void *opaque,
                                struct BlkError *error);
    /**
     * truncate, which allocates what the image grows by, and nothing else. `preallocation`: one of
     * BLK_PREALLOC_*; with BLK_PREALLOC_OFF it is truncate. `progress` may be NULL. Blocks for as
     * long as it takes; meanwhile requests that reach past the old end wait (also those that a
     * sharded image's last byte is a part of), and close, drain and lock_release on other threads
     * do: a close ends it, with -EBADF.
     *
     * After a failure the image has its old length, unless its lock was lost. 0, or: -EINVAL an
     * unknown preallocation, a negative length, or a shrink with preallocation · -EBUSY requests
     * that reach past the end are in flight (on a sharded volume: any that change the image), or
     * another such call: drain first; or a flush has found the image's lock to be lost · -EPERM the
     * lock was given up · -ECANCELED · -EOPNOTSUPP the bricks cannot preallocate · -ENOSPC and what else the
     * bricks answer.
     */
    int (*truncate_with_preallocation)(struct BlkState *bs,
                                       int64_t length,
                                       int preallocation,
                                       BlkProgressFunc progress,
                                       void *opaque,
                                       struct BlkError *error);
    /**
     * What `open` understands, so that a host can refuse what is unknown and tell what there is. What
     * `create` understands is create_options, and of these the ones that say so.
     */
    const struct BlkOpenOption *open_options;
    /**
     * Why the request failed whose callback calls this: fills `error` with its errno (`ret` of the callback,
     * negated), BLK_STAGE_IO, and a sentence that names the image, the request, the reason and what to try.
     * That is what `report` gets of the first failure of a series; here it is to be had for each. Only inside
     * the callback of a request of `bs`, on the thread that the callback runs on, and before it closes the
     * image. In nested callbacks it is about the innermost. 0, or: -ENOENT no callback of a request of `bs` that
     * failed is running here · -EINVAL NULL or a short struct · -EBADF not open, or closed meanwhile.
     */
    int (*request_error)(struct BlkState *bs, struct BlkError *error);
    /**
     * Tells what an image has done since it was opened. 0, or: -EINVAL NULL or a short struct ·
     * -EOPNOTSUPP it was opened with `statistics=off` · -EBADF not open.
     *
     * Any thread, also inside callbacks and while requests are in flight on others; takes no lock that
     * they take, and never waits for the bricks. Each number is exact; two that belong together may be
     * some requests apart while requests end.
     */
    int (*get_statistics)(struct BlkState *bs,
                          struct BlkStatistics *statistics,
                          struct BlkError *error);
    /**
     * The same as text. `format`: one of BLK_STATISTICS_*. Like snprintf: writes as much as fits into
     * `size` bytes of `buffer`, with a NUL at the end (nothing when size is 0; then `buffer` may be
     * NULL), and returns the length of the whole without its NUL: when that is `size` or more, the text
     * was cut. The numbers grow while requests end, so leave 4 KiB more than a call with size 0 says.
     * (Prometheus' text names the image in each of its 300 lines: 40 KiB for an ordinary URI.) Threads
     * and errors as for get_statistics; -EINVAL an unknown format, or no buffer.
     *
     * A page of Prometheus' holds each metric once: a host with several images that it makes one
     * page of sorts the lines by metric, and drops the HELP and TYPE lines of all but the first.
     */
    int (*format_statistics)(struct BlkState *bs,
                             int format,
                             char *buffer,
                             size_t size,
                             struct BlkError *error);
    /**
     * Copies `bytes` bytes from `src_offset` of image `src` to `dst_offset` of image `dst`, of any
     * offsets and length; grows `dst` when they end past its end. `src` may be an image of another
     * volume, of another driver of this library, or `dst` itself. `flags` is 0. The handle and the
     * callback are those of a request of `dst`; requests submitted later that overlap what is written
     * wait for it. What lies past the end of `src` is copied as zeroes. Holes of `src`, where its volume
     * can tell (see block_status), are not read, and become zeroes in `dst` as with
     * aio_write_zeroes and BLK_ZERO_MAY_UNMAP, or stay holes where the bricks of `dst` say that they are.
     *
     * Made by reading and writing a MiB at a time, four at once, on threads of the library's, with 4
     * MiB of memory; one at a time for each `dst`. The bricks' own copy_file_range is not used:
     * GlusterFS 10.3 copies the wrong bytes. It covers what was acknowledged in `src` before; what is
     * written to the part of `src` meanwhile may be copied or not.
     *
     * One that fails, or was cancelled when it had begun, may have been made in part; a cancelled one
     * ends with -ECANCELED after what is under way (4 MiB, or 256 MiB where zeroes are made). A close
     * of `src` ends it with -EBADF in the same way, and waits for that; a drain of `src` waits for all
     * of it once it has begun. Closing `dst` waits for it as for any request. NULL with errno: -EINVAL
     * negative numbers, flags, or ranges of one image that overlap (of two openings of one file they
     * must not either, which is not looked at) · -EFBIG a range that ends past 4 PiB · -EBADF one of
     * them is not open, or `dst` is read-only · -EPERM `dst` has given its lock up. In the callback
     * also -EBUSY, when a flush finds the lock of `dst` to be lost, and what the bricks of either
     * answer. Any thread.
     */
    BlkAiocb *(*aio_copy_range)(struct BlkState *src,
                                int64_t src_offset,
                                struct BlkState *dst,
                                int64_t dst_offset,
                                int64_t bytes,
                                uint32_t flags,
                                BlkCompletionFunc cb,
                                void *opaque);
    /**
     * Makes the lock of an image that was opened with locking another one, or none: for hosts in which
     * the users of an image come and go while it is open. `mode`: BLK_LOCK_WRITE when this host writes it,
     * BLK_LOCK_FORBID_WRITE when nobody else may; both, one or 0, and whether it was opened with BLK_O_RDWR
     * makes no difference. What the old and the new lock have in common is not let go of in between.
     *
     * Afterwards writes go on, also after lock_release, and in every mode: the library does not hold the
     * host to what it said. Without BLK_LOCK_WRITE nothing that is new to others may be written. When
     * BLK_LOCK_WRITE goes, no write may be in flight, and it waits until what was written is on stable
     * storage, as after a flush. When a lock is taken where there was none, getlength counts what others
     * wrote. Any thread, blocks for some round trips to the bricks, and for up to a second when the lock is
     * another's. Calls no callbacks.
     *
     * 0, or, with the lock as it was: -EBUSY another one's lock forbids it, or writes are in flight when
     * BLK_LOCK_WRITE goes, or inside lock_release, or between a reopen_prepare that took another
     * connection (another `write-cache`) and its commit or abort · -EINVAL an unknown mode · -EOPNOTSUPP
     * locking=off · -ENOSYS or -EOPNOTSUPP, whichever the bricks answer, with locking=on on a volume without
     * locks (with `auto` it is 0, and a report the first time) · -EBADF not open · what the flush or the bricks
     * answer.
     */
    int (*lock_change)(struct BlkState *bs, uint32_t mode, struct BlkError *error);
    /**
     * Makes ready to have an open image open in another way: for reading or for writing, with or
     * without BLK_O_NOCACHE. `flags` are those of open, all that it is to have. `options`: NULL, or
     * `write-cache` on|off; all others stay as open was given them. Until reopen_commit the image is
     * as it was, requests may go on, and so they may after reopen_abort; close aborts by itself.
     *
     * Opens the image a second time, and makes sure that it is the same one. When it is open for
     * writing it is flushed first. With locking, what it is to become takes its lock beside what it
     * is: a reader that becomes a writer is -EBUSY while another one has the image open, and a writer
     * that becomes a reader lets others read with the commit. Only when another `write-cache` needs
     * another connection is the lock handed over: then requests in flight are waited for, as in
     * lock_release, writes are -EPERM until commit or abort, and another host may be faster; after
     * such an abort the lock is lost (a report says so) until lock_acquire succeeds. A lock that was
     * given up with lock_release stays so, and one that lock_change or BLK_O_LOCK_LATER left to the host is
     * what lock_change says, also between prepare and commit.
     *
     * Blocks for some round trips to the bricks, or for as long as open. Not at the same time as
     * lock_release and lock_acquire, which are -EBUSY until commit or abort. 0, or: -EINVAL an
     * unknown flag, another option, write-cache=on with BLK_O_NOCACHE or of an image that was opened with
     * on-disconnect=stall · -EBUSY it was prepared
     * before, or is locked · -ESTALE its path leads to another file by now · -EROFS, -EACCES it may
     * not be written (`auto-read-only` is for open) · -EIO with write-cache=on, when a write or flush
     * has failed before · what else the bricks answer. Then nothing was prepared.
     *
     * QEMU: bdrv_reopen_prepare.
     */
    int (*reopen_prepare)(struct BlkState *bs,
                          const struct BlkOption *options,
                          uint32_t flags,
                          struct BlkError *error);
    /**
     * Has the image open as it was prepared. Cannot fail. Waits for what is in flight, calling
     * callbacks, as drain_begin; requests that come meanwhile on other threads are made afterwards
     * (writes of an image that is read-only by then fail in their callback). What was written before
     * is flushed; if that fails, the next aio_flush does, and with write-cache=on all that follow, as
     * after any failed flush. get_limits may say something else from now on. Without a preparation it
     * does nothing but a report. QEMU: bdrv_reopen_commit.
     */
    void (*reopen_commit)(struct BlkState *bs);
    /**
     * Undoes reopen_prepare. Without one it does nothing but a report. QEMU: bdrv_reopen_abort.
     */
    void (*reopen_abort)(struct BlkState *bs);
    /**
     * 1 when the image is open for reading only: without BLK_O_RDWR, with `auto-read-only`, or after a
     * reopen. 0 when it may be written, or -errno. Any thread.
     */
    int (*is_read_only)(struct BlkState *bs);
    /**
     * Has set_fd_handler called with a NULL handler, so that the host's loop polls the image no more;
     * requests may be in flight, and more may come. What ends meanwhile is kept for attach_fd_handler:
     * no callback is called, but inside drain, aio_cancel, close and what else waits for requests, and
     * dispatch. A handler that a loop calls late does nothing. Call it on the thread that polls, or
     * while that does not: a callback that runs there already goes on. It may be called from inside a
     * callback, which is the last then. 0, or: -EALREADY it is not polled · -EBUSY another thread is
     * in this function or in attach_fd_handler. QEMU: bdrv_detach_aio_context.
     */
    int (*detach_fd_handler)(struct BlkState *bs);
    /**
     * Has set_fd_handler called again, with another `arg`, for whatever loop the host chooses for `bs`.
     * The fd is readable at once when requests have ended meanwhile. From now on callbacks run on that
     * loop's thread. 0, or: -EALREADY it is polled · -EBUSY as there · what set_fd_handler returned: it
     * is not polled then. QEMU: bdrv_attach_aio_context.
     */
    int (*attach_fd_handler)(struct BlkState *bs, struct BlkError *error);
    /**
     * 1 when a callback waits to be called, 0 when not, or -EBADF; without a system call, for hosts
     * that look again and again for some time before they poll. Now and then 1 when there is none
     * (the call of the handler, or dispatch, settles it), never 0 for long when there is one. Any
     * thread; reports nothing. QEMU: io_poll of aio_set_fd_handler.
     */
    int (*is_ready)(struct BlkState *bs);
    /**
     * How many requests were accepted whose callbacks have not been called, those that drain_begin
     * holds back included, or -errno. A growth with preallocation counts as one. Any thread. For hosts
     * that would rather wait in a loop of their own than in drain. A copy counts for its destination, and for the image
     * that it reads as well.
     */
    int64_t (*get_in_flight)(struct BlkState *bs);
    /**
     * drain, and holds back what is submitted from then on, by whatever thread: it is accepted, and
     * made in its order after drain_end. Nests. Waits for what was submitted before, calling
     * callbacks. drain does not wait for what is held back; aio_cancel ends it at once, with
     * -ECANCELED; close makes it, and waits for it; lock_release is -EBUSY while a write is held back.
     * 0 or -errno.
     */
    int (*drain_begin)(struct BlkState *bs);
    /**
     * Undoes one drain_begin; the last one sends what was held back. 0, or: -EINVAL there was no
     * drain_begin · -EBADF.
     */
    int (*drain_end)(struct BlkState *bs);
} BlkDriver;

/**
 * What the host calls when a completion fd is readable, with the `arg` that came with it.
 * Calling it once too often, or after the image was closed, does nothing.
 */
typedef void (*BlkFdHandler)(void *arg);

/**
 * What the host offers. Copied by blkgluster_init. A struct_size larger than the library knows is
 * accepted, since what the host offers beyond that is simply not used.
 */
typedef struct BlkHost {
    /**
     * sizeof(BlkHost).
     */
    size_t struct_size;
    /**
     * BLK_ABI_VERSION.
     */
    uint32_t abi_version;
    /**
     * Zero.
     */
    uint32_t reserved;
    /**
     * Handed back in each call below.
     */
    void *opaque;
    /**
     * Mandatory. Called four times by blkgluster_init, in the seed's order: gluster+rdma,
     * gluster+unix, gluster+tcp, gluster. A negative return ends blkgluster_init with that value.
     * The seed's bdrv_register.
     */
    int (*register_driver)(void *opaque, const struct BlkDriver *drv);
    /**
     * Optional. Called by open, and by attach_fd_handler: poll `fd` for reading and call `on_readable(arg)` on the polling
     * thread whenever it is readable (level-triggered). Called by close with a NULL handler:
     * forget `fd`, which is closed next; and so by detach_fd_handler. `bs` is the image, for hosts with several poll loops. 0,
     * or -errno, which makes open fail. The seed's qemu_aio_set_fd_handler. Without it the host
     * polls get_completion_fd itself and calls dispatch.
     */
    int (*set_fd_handler)(void *opaque,
                          struct BlkState *bs,
                          int fd,
                          BlkFdHandler on_readable,
                          void *arg);
    /**
     * Optional. A sentence for the host's log; `level` is one of BLK_REPORT_*. Any thread. The
     * text is valid during the call only. Without it the library writes to stderr. The seed's
     * error_report.
     */
    void (*report)(void *opaque, int level, const char *message);
} BlkHost;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Registers the four drivers with the host.
 *
 * Call it once, before anything else, on any thread. `host` is copied. Each driver is handed to
 * `host->register_driver`, in the seed's order: gluster+rdma, gluster+unix, gluster+tcp, gluster.
 *
 * 0, or: -EINVAL `host` is NULL, shorter than this header's BlkHost, of an unknown version, or
 * lacks register_driver · -EALREADY a host is registered already, this one or another (one process
 * has one; see `release`) · the negative value that register_driver returned.
 *
 * # Safety `host` is NULL or points to a BlkHost whose struct_size is true and whose functions may
 * be called until `release`.
 */
int blkgluster_init(const struct BlkHost *host);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BLKGLUSTER_H */
