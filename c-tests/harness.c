/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TAP, the host that the driver is loaded into, and the poll loop. */
#include "harness.h"

#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <time.h>

#include "harness_internal.h"

#ifndef BLKGLUSTER_LIB
#define BLKGLUSTER_LIB "libblkgluster.so.1"
#endif

#define PROGRAM_SECONDS 180

/* ---- TAP ----------------------------------------------------------------------------------------------------- */

static pthread_mutex_t tap_lock = PTHREAD_MUTEX_INITIALIZER;
static int tests, failures;
static int real_output = -1, captured = -1;
static bool output_allowed;

/* A sanitizer's report must not vanish in the capture. */
extern void __sanitizer_set_report_fd(void *) __attribute__((weak));

static void put(const char *format, va_list args)
{
    vdprintf(real_output, format, args);
}

static void line(const char *format, ...) T_PRINTF(1, 2);
static void line(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put(format, args);
    va_end(args);
}

const char *t_output(void)
{
    static char text[4096];
    ssize_t got = pread(captured, text, sizeof(text) - 1, 0);

    text[got < 0 ? 0 : got] = '\0';
    return text;
}

/* The last words of glibc or of a panic went into the capture; write(2) and pread(2) are all that is used here. */
static void on_abort(int signal_number)
{
    char text[1024];
    off_t at = 0;
    ssize_t got;

    while ((got = pread(captured, text, sizeof(text), at)) > 0) {
        if (write(real_output, text, (size_t)got) < 0)
            break;
        at += got;
    }
    if (signal_number == SIGALRM) {
        static const char why[] = "Bail out! the program hangs\n";

        if (write(real_output, why, sizeof(why) - 1) < 0)
            _exit(98);
        _exit(99);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

double t_time_factor(void)
{
    static double factor;

    if (factor == 0) {
        const char *preload = getenv("LD_PRELOAD"), *wanted = getenv("BLKG_TIME_FACTOR");

        factor = wanted ? atof(wanted) : preload && strstr(preload, "vgpreload") ? 10 : 1;
        if (factor < 1)
            factor = 1;
    }
    return factor;
}

void t_begin(const char *promise)
{
    real_output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    captured = memfd_create("captured", MFD_CLOEXEC);
    if (real_output < 0 || captured < 0)
        abort();
    fflush(NULL);
    dup2(captured, STDOUT_FILENO);
    dup2(captured, STDERR_FILENO);
    if (__sanitizer_set_report_fd)
        __sanitizer_set_report_fd((void *)(intptr_t)real_output);
    signal(SIGABRT, on_abort);
    signal(SIGALRM, on_abort);
    alarm((unsigned)(PROGRAM_SECONDS * t_time_factor()));
    line("# %s\n", promise);
}

void t_say(const char *format, ...)
{
    char text[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    line("# %s\n", text);
}

static bool judge(bool good, const char *file, int number, const char *detail, const char *format, va_list args)
{
    char text[512];

    vsnprintf(text, sizeof(text), format, args);
    pthread_mutex_lock(&tap_lock);
    tests++;
    failures += !good;
    line("%sok %d - %s\n", good ? "" : "not ", tests, text);
    if (!good)
        line("#   at %s:%d%s\n#   last report: %s\n", file, number, detail, last_report());
    pthread_mutex_unlock(&tap_lock);
    return good;
}

bool t_ok(bool good, const char *file, int number, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    judge(good, file, number, "", format, args);
    va_end(args);
    return good;
}

bool t_is(long long got, long long wanted, const char *file, int number, const char *format, ...)
{
    char detail[96];
    va_list args;

    snprintf(detail, sizeof(detail), ": got %lld, wanted %lld", got, wanted);
    va_start(args, format);
    judge(got == wanted, file, number, detail, format, args);
    va_end(args);
    return got == wanted;
}

void t_skip(const char *why)
{
    line("1..0 # SKIP %s\n", why);
    exit(77);
}

void t_die(const char *format, ...)
{
    va_list args;

    line("Bail out! ");
    va_start(args, format);
    put(format, args);
    va_end(args);
    line("\n# last report: %s\n", last_report());
    exit(99);
}

void t_allow_output(void)
{
    output_allowed = true;
}

/* ---- reports ------------------------------------------------------------------------------------------------- */

#define RING 64

static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    int level;
    char text[1024];
} ring[RING];
static unsigned reports, reports_of[BLK_REPORT_DEBUG + 1];

static void report(void *opaque, int level, const char *message)
{
    (void)opaque;
    pthread_mutex_lock(&report_lock);
    ring[reports % RING].level = level;
    snprintf(ring[reports % RING].text, sizeof(ring[0].text), "%s", message);
    reports++;
    if (level >= BLK_REPORT_ERROR && level <= BLK_REPORT_DEBUG)
        reports_of[level]++;
    pthread_mutex_unlock(&report_lock);
    if (getenv("BLKG_VERBOSE"))
        line("# report %d: %s\n", level, message);
}

unsigned t_reports(void)
{
    return reports;
}

unsigned t_reports_of(int level)
{
    return reports_of[level];
}

const char *last_report(void)
{
    return reports ? ring[(reports - 1) % RING].text : "";
}

bool t_reported(const char *text)
{
    unsigned first = reports > RING ? reports - RING : 0, i;
    bool found = false;

    pthread_mutex_lock(&report_lock);
    for (i = first; i < reports && !found; i++)
        found = strstr(ring[i % RING].text, text) != NULL;
    pthread_mutex_unlock(&report_lock);
    return found;
}

void t_forget_reports(void)
{
    pthread_mutex_lock(&report_lock);
    reports = 0;
    memset(reports_of, 0, sizeof(reports_of));
    pthread_mutex_unlock(&report_lock);
}

/* ---- the library --------------------------------------------------------------------------------------------- */

static void *library;
static const struct BlkDriver *drivers[8];
static unsigned driver_count;

static int register_driver(void *opaque, const struct BlkDriver *drv)
{
    (void)opaque;
    if (driver_count == T_COUNT(drivers))
        return -ENOMEM;
    drivers[driver_count++] = drv;
    return 0;
}

struct BlkHost t_host(void)
{
    struct BlkHost host;

    memset(&host, 0, sizeof(host));
    host.struct_size = sizeof(host);
    host.abi_version = BLK_ABI_VERSION;
    host.register_driver = register_driver;
    host.set_fd_handler = t_set_fd_handler;
    host.report = report;
    return host;
}

const char *t_library_path(void)
{
    const char *path = getenv("BLKGLUSTER_LIB");

    return path ? path : BLKGLUSTER_LIB;
}

void *t_dlopen(void)
{
    library = dlopen(t_library_path(), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        t_die("%s", dlerror());
    return library;
}

void t_dlclose(void)
{
    if (library)
        dlclose(library);
    library = NULL;
}

t_init_fn t_init_function(void)
{
    void *address = library ? dlsym(library, "blkgluster_init") : NULL;
    t_init_fn function;

    if (!address)
        t_die("no blkgluster_init in %s", t_library_path());
    /* C has no cast from an object's to a function's address. */
    memcpy(&function, &address, sizeof(function));
    return function;
}

void t_load(void)
{
    struct BlkHost host = t_host();
    int ret;

    t_dlopen();
    ret = t_init_function()(&host);
    if (ret < 0)
        t_die("blkgluster_init: %d", ret);
}

const struct BlkDriver *drv_for(const char *uri)
{
    size_t length = strcspn(uri, ":");
    unsigned i;

    for (i = 0; i < driver_count; i++)
        if (strlen(drivers[i]->protocol_name) == length && !strncmp(drivers[i]->protocol_name, uri, length))
            return drivers[i];
    return NULL;
}

const struct BlkDriver *t_driver(unsigned index)
{
    return index < driver_count ? drivers[index] : NULL;
}

unsigned t_driver_count(void)
{
    return driver_count;
}

void t_forget_drivers(void)
{
    driver_count = 0;
}

int t_end(void)
{
    int ret;

    if (driver_count) {
        ret = drivers[0]->release();
        is(ret, 0, "every image was closed");
    }
    is(t_watched(), 0, "no fd is watched any more");
    is(t_broken_rules(), 0, "callbacks came once, on the image's thread, outside of submits");
    if (!output_allowed && !ok(!*t_output(), "the library printed nothing"))
        t_say("it printed: %s", t_output());
    t_dlclose();
    t_loop_free();
    line("1..%d\n", tests);
    close(captured);
    alarm(0);
    return failures ? 1 : 0;
}

int t_real_output(void)
{
    return real_output;
}
