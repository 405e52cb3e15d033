/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Once it is warm, the driver allocates nothing for a request. The fake allocates nothing either while it stores none. */
#include "on_fake.h"

#include <malloc.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define HAS_OWN_MALLOC 0
#else
#define HAS_OWN_MALLOC 1
#endif

enum { DEPTH = 32, UNIT = 4096, BLOCKS = 4096, N = 10000, MOST_ROUNDS = 60 };

/* ---- every allocation of the process ------------------------------------------------------------------------------ */

static unsigned long allocations;

#if HAS_OWN_MALLOC
/* glibc's own, below the names that this program takes over for every library in the process. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static void count_one(void)
{
    __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    count_one();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_one();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    count_one();
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size)
{
    count_one();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void free(void *memory)
{
    if (memory)
        count_one();
    __libc_free(memory);
}
#endif

static unsigned long allocated(void)
{
    return __atomic_load_n(&allocations, __ATOMIC_RELAXED);
}

/* ---- a load ------------------------------------------------------------------------------------------------------- */

enum pattern { IN_ORDER, AT_RANDOM, PLUGGED, FLUSHES };

static struct img img;
static struct io io[DEPTH];
static char data[DEPTH][UNIT];
static int left, ended, failures;
static bool writes;
static enum pattern pattern;
static unsigned block;

static void one_more(struct io *self)
{
    int64_t offset = (int64_t)(block % BLOCKS) * UNIT;
    bool accepted;

    if (left == 0)
        return;
    left--;
    /* 1021 has no factor in common with BLOCKS. */
    block += pattern == AT_RANDOM ? 1021 : 1;
    if (pattern == FLUSHES)
        accepted = io_flush(self, &img);
    else if (writes)
        accepted = io_pwrite(self, &img, data[self - io], UNIT, offset);
    else
        accepted = io_pread(self, &img, data[self - io], UNIT, offset);
    failures += !accepted;
}

static void go_on(struct io *self)
{
    failures += self->ret != 0;
    ended++;
    if (pattern != PLUGGED)
        one_more(self);
}

static uint64_t calls(void)
{
    return fake_counted().submitted + fake_calls(FAKE_FSYNC);
}

/* How often the process allocated or freed during so many requests. */
static unsigned long run(int requests)
{
    unsigned long before = allocated();
    int i;

    left = requests;
    ended = 0;
    while (ended < requests) {
        int burst = left < DEPTH ? left : DEPTH, wanted = pattern == PLUGGED ? ended + burst : requests;

        if (pattern == PLUGGED)
            img.drv->io_plug(&img.bs);
        for (i = 0; i < burst; i++) {
            io[i].then = go_on;
            one_more(&io[i]);
        }
        if (pattern == PLUGGED)
            img.drv->io_unplug(&img.bs);
        if (!wait_for(&ended, wanted, 60))
            t_die("%d of %d requests have ended", ended, requests);
    }
    return allocated() - before;
}

static const char *const names[] = {"in order", "at random", "plugged", "that are flushes"};

static void steady(const char *mode)
{
    unsigned long few, many;
    uint64_t before;
    int round;

    /* The places of requests get their room as they come to need it: which one leads a shared call, and of how many,
     * is up to chance when another thread completes them. */
    for (round = 0; round < MOST_ROUNDS && run(N) > 0; round++)
        ;
    before = calls();
    few = run(N);
    t_say("%llu calls for %d requests, after %d rounds", (unsigned long long)(calls() - before), N,
          round);
    for (many = run(2 * N); (few > 0 || many > 0) && round < MOST_ROUNDS; round++) {
        few = run(N);
        many = run(2 * N);
    }
    is(few, 0, "%s: %d %s %s allocate nothing", mode, N, writes ? "writes" : "reads", names[pattern]);
    is(many, few, "... nor do %d", 2 * N);
    is(failures, 0, "... and succeed");
}

static void all(int mode, const char *name)
{
    int i;

    fake.set_mode(mode, 0);
    for (i = IN_ORDER; i <= FLUSHES; i++) {
        pattern = (enum pattern)i;
        writes = true;
        steady(name);
        writes = false;
        if (pattern != FLUSHES)
            steady(name);
    }
}

/* A sentence that says why takes memory, and nothing but the driver makes one here. */
static bool the_drivers_are_seen(void)
{
    struct BlkError error = {0};
    unsigned long before = allocated();

    error.struct_size = sizeof(error);
    is(t_driver(0)->create("nonsense", NULL, &error), -EINVAL, "a bad URI");
    return allocated() > before;
}

int main(void)
{
    fake_begin("no allocation per request");
    fake_open(&img, "no-alloc", (int64_t)BLOCKS * UNIT);
    if (!the_drivers_are_seen())
        t_skip("allocations are not seen here: a sanitizer or valgrind has its own malloc");
    fake.set_storage(0);
    all(FAKE_INLINE, "inline");
    all(FAKE_THREAD, "thread");
    fake.set_storage(1);
    img_close(&img);
    if (img_open(&img, fake_uri("vol", "no-alloc"), BLK_O_RDWR | BLK_O_NOCACHE, NULL) < 0)
        t_die("cannot open it: %s", img.error.message);
    fake.set_storage(0);
    fake.set_alignment(UNIT);
    all(FAKE_THREAD, "BLK_O_NOCACHE");
    fake.set_alignment(0);
    fake.set_storage(1);
    img_close(&img);
    return fake_end();
}
