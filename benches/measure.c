/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of a contestant, and the one line of JSON that it prints. */
#include "measure.h"

#include <getopt.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine.h"

struct settings settings = {
    .server = "127.77.0.1",
    .port = 24007,
    .volume = "plain",
    .image = "bench.img",
    .library = "libblkgluster.so.1",
    .wake = "futex",
    .task = "run",
    .images = 1,
    .threads = 1,
    .depth = 32,
    .read_percent = 100,
    .size = 1 << 30,
    .block = 4096,
    .step = 1,
    .seconds = 3,
    .warmup = 0.5,
    .write_cache = true,
    .statistics = true,
};

static uint64_t number(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);

    if (*text == '\0' || *end != '\0')
        fail("not a number: %s", text);
    return value;
}

static bool on_off(const char *text)
{
    if (strcmp(text, "on") && strcmp(text, "off"))
        fail("neither on nor off: %s", text);
    return !strcmp(text, "on");
}

void parse_arguments(int argc, char **argv)
{
    enum {
        SERVER,
        PORT,
        VOLUME,
        IMAGE,
        LIBRARY,
        WAKE,
        TASK,
        IMAGES,
        THREADS,
        DEPTH,
        READS,
        FLUSH,
        SIZE,
        BLOCK,
        STEP,
        SECONDS,
        WARMUP,
        OPTIONS,
        CACHE,
        COUNTING,
        CHECK,
        CREATE,
        COUNTERS,
        FREE
    };
    static const struct option known[] = {
        {"server",       1, 0, SERVER  },
        {"port",         1, 0, PORT    },
        {"volume",       1, 0, VOLUME  },
        {"image",        1, 0, IMAGE   },
        {"library",      1, 0, LIBRARY },
        {"wake",         1, 0, WAKE    },
        {"task",         1, 0, TASK    },
        {"images",       1, 0, IMAGES  },
        {"threads",      1, 0, THREADS },
        {"depth",        1, 0, DEPTH   },
        {"read-percent", 1, 0, READS   },
        {"flush-every",  1, 0, FLUSH   },
        {"size",         1, 0, SIZE    },
        {"block",        1, 0, BLOCK   },
        {"step",         1, 0, STEP    },
        {"seconds",      1, 0, SECONDS },
        {"warmup",       1, 0, WARMUP  },
        {"our-options",  0, 0, OPTIONS },
        {"write-cache",  1, 0, CACHE   },
        {"statistics",   1, 0, COUNTING},
        {"check",        0, 0, CHECK   },
        {"create",       0, 0, CREATE  },
        {"counters",     0, 0, COUNTERS},
        {"storage-free", 0, 0, FREE    },
        {0,              0, 0, 0       },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case SERVER: settings.server = optarg; break;
        case PORT: settings.port = (unsigned)number(optarg); break;
        case VOLUME: settings.volume = optarg; break;
        case IMAGE: settings.image = optarg; break;
        case LIBRARY: settings.library = optarg; break;
        case WAKE: settings.wake = optarg; break;
        case TASK: settings.task = optarg; break;
        case IMAGES: settings.images = (unsigned)number(optarg); break;
        case THREADS: settings.threads = (unsigned)number(optarg); break;
        case DEPTH: settings.depth = (unsigned)number(optarg); break;
        case READS: settings.read_percent = (unsigned)number(optarg); break;
        case FLUSH: settings.flush_every = (unsigned)number(optarg); break;
        case SIZE: settings.size = number(optarg); break;
        case BLOCK: settings.block = number(optarg); break;
        case STEP: settings.step = number(optarg); break;
        case SECONDS: settings.seconds = atof(optarg); break;
        case WARMUP: settings.warmup = atof(optarg); break;
        case OPTIONS: settings.our_options = true; break;
        case CACHE: settings.write_cache = on_off(optarg); break;
        case COUNTING: settings.statistics = on_off(optarg); break;
        case CHECK: settings.check = true; break;
        case CREATE: settings.create = true; break;
        case FREE: settings.storage_free = settings.create = true; break;
        case COUNTERS: settings.counters = true; break;
        default: fail("unknown option");
        }
    }
    if (optind != argc || !settings.images || !settings.threads ||
        settings.threads > settings.images || !settings.depth || settings.block % 4096 ||
        settings.size < settings.block || settings.read_percent > 100)
        fail("bad arguments");
}

static int counters[2] = {-1, -1};

void start_counters(void)
{
    static const uint64_t what[2] = {PERF_COUNT_HW_INSTRUCTIONS, PERF_COUNT_HW_CPU_CYCLES};

    for (unsigned i = 0; i < 2; i++) {
        struct perf_event_attr attributes = {
            .size = sizeof(attributes),
            .type = PERF_TYPE_HARDWARE,
            .config = what[i],
            .inherit = 1,
        };
        counters[i] =
            (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    }
}

static uint64_t counter(unsigned i)
{
    uint64_t value;

    return counters[i] >= 0 && read(counters[i], &value, sizeof(value)) == sizeof(value) ? value
                                                                                         : 0;
}

void measure_process(struct totals *totals)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    totals->ns = now_ns();
    totals->user_us = (uint64_t)usage.ru_utime.tv_sec * 1000000 + (uint64_t)usage.ru_utime.tv_usec;
    totals->system_us =
        (uint64_t)usage.ru_stime.tv_sec * 1000000 + (uint64_t)usage.ru_stime.tv_usec;
    totals->switches = usage.ru_nvcsw;
    totals->instructions = counter(0);
    totals->cycles = counter(1);
}

/* A line of /proc/self/status. */
static unsigned long status_line(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long value = 0;

    while (file && fgets(line, sizeof(line), file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            value = strtoul(line + strlen(name) + 1, NULL, 10);
    if (file)
        fclose(file);
    return value;
}

void report_run(const struct totals *begin, const struct totals *end,
                const struct histogram *latency)
{
    double ops = (double)(end->ops - begin->ops), seconds = (double)(end->ns - begin->ns) / 1e9;
    double user = (double)(end->user_us - begin->user_us),
           system = (double)(end->system_us - begin->system_us);
    uint64_t buffers = settings.images * settings.depth * settings.block;

    if (ops == 0)
        fail("nothing was done in %.1f s", seconds);
    printf("{\"contestant\": \"%s\", \"ops\": %.0f, \"flushes\": %" PRIu64
           ", \"seconds\": %.4f, \"iops\": %.1f, "
           "\"cpu_us\": %.3f, \"user_us\": %.3f, \"system_us\": %.3f, \"mean_us\": %.2f, "
           "\"p50_us\": %.2f, "
           "\"p99_us\": %.2f, \"instructions\": %.1f, \"cycles\": %.1f, \"sleeps\": %.3f, "
           "\"rss_kib\": %lu, \"buffer_kib\": %" PRIu64 ", \"threads\": %lu}\n",
           contestant.name, ops, end->flushes - begin->flushes, seconds, ops / seconds,
           (user + system) / ops, user / ops, system / ops,
           latency->count ? (double)latency->sum / (double)latency->count / 1e3 : 0,
           (double)histogram_quantile(latency, 0.5) / 1e3,
           (double)histogram_quantile(latency, 0.99) / 1e3,
           (double)(end->instructions - begin->instructions) / ops,
           (double)(end->cycles - begin->cycles) / ops,
           (double)(end->switches - begin->switches) / ops, status_line("VmRSS"), buffers / 1024,
           status_line("Threads"));
}
