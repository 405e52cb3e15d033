/* SPDX-License-Identifier: GPL-2.0-or-later */
/* blkgluster_init hands over four drivers, once per process, and refuses hosts that it cannot trust. */
#include "harness.h"

static t_init_fn init;

static void refuses(const char *what, const struct BlkHost *host, int error)
{
    unsigned before = t_reports();

    is(init(host), -error, "%s is refused", what);
    is(t_driver_count(), 0, "... and no driver registered");
    is(t_reports(), before + 1, "... and the caller is told why");
    ok(strlen(last_report()) > 20, "... in a sentence: %s", last_report());
}

/* A host whose struct cannot be trusted has no `report` that could be called: the sentence goes to stderr. */
static void refuses_blindly(const char *what, const void *host)
{
    size_t before = strlen(t_output());

    is(init(host), -EINVAL, "%s is refused", what);
    is(t_driver_count(), 0, "... and no driver registered");
    ok(strstr(t_output() + before, "blkgluster") != NULL, "... with a sentence on stderr");
}

static int refused_at, asked;

static int refuse(void *opaque, const struct BlkDriver *drv)
{
    (void)drv;
    is(*(int *)opaque, 4711, "register_driver gets the host's opaque");
    return ++asked == refused_at ? -EPERM : 0;
}

static void bad_hosts(void)
{
    struct BlkHost host;
    size_t sizes[] = {0, 1, sizeof(size_t), sizeof(host) - 1, (size_t)1 << 40, SIZE_MAX};
    unsigned i;
    char *unaligned;

    refuses_blindly("a NULL host", NULL);
    for (i = 0; i < T_COUNT(sizes); i++) {
        host = t_host();
        host.struct_size = sizes[i];
        refuses_blindly("a host with a false struct_size", &host);
    }
    unaligned = t_alloc(sizeof(host) + 1);
    host = t_host();
    memcpy(unaligned + 1, &host, sizeof(host));
    refuses_blindly("a host that is not aligned", unaligned + 1);
    free(unaligned);

    host = t_host();
    host.abi_version = 0;
    refuses_blindly("ABI version 0", &host);
    host.abi_version = BLK_ABI_VERSION + 1;
    refuses_blindly("the next ABI version", &host);
    host = t_host();
    host.reserved = 1;
    refuses_blindly("a host that uses what is reserved", &host);

    host = t_host();
    host.register_driver = NULL;
    refuses("a host without register_driver", &host, EINVAL);
}

static void refusing_hosts(void)
{
    struct BlkHost host = t_host();
    int magic = 4711;

    host.opaque = &magic;
    host.register_driver = refuse;
    for (refused_at = 1; refused_at <= 4; refused_at++) {
        asked = 0;
        refuses("a host that refuses a driver", &host, EPERM);
        is(asked, refused_at, "... is not asked again");
    }
}

static void the_four_drivers(void)
{
    static const char *const names[] = {"gluster+rdma", "gluster+unix", "gluster+tcp", "gluster"};
    unsigned i;

    is(t_driver_count(), 4, "four drivers");
    for (i = 0; i < t_driver_count(); i++) {
        const struct BlkDriver *drv = t_driver(i);

        ok(!strcmp(drv->protocol_name, names[i]), "driver %u is %s", i, names[i]);
        ok(!strcmp(drv->format_name, "gluster"), "its format is gluster");
        is(drv->abi_version, BLK_ABI_VERSION, "its ABI version");
        is(drv->struct_size, sizeof(*drv), "its struct_size");
        is(drv->needs_filename, 1, "it needs a filename");
        ok(drv->instance_size > 0 && drv->instance_size <= 64 && drv->instance_size % 8 == 0, "its instance_size");
        ok(!strcmp(drv->library_version, BLKGLUSTER_VERSION), "its version is %s", BLKGLUSTER_VERSION);
        is(drv->has_zero_init(NULL), 0, "has_zero_init is 0");
        ok(!strcmp(drv->create_options[0].name, "size") && !strcmp(drv->create_options[0].kind, "size") &&
               *drv->create_options[0].help,
           "create knows size");
        ok(!strcmp(drv->create_options[1].name, "preallocation") &&
               !strcmp(drv->create_options[1].kind, "off|falloc|full") && *drv->create_options[1].help,
           "create knows preallocation");
        ok(!drv->create_options[2].name, "create knows nothing else");
    }
}

static void every_slot(void)
{
    unsigned i;

    for (i = 0; i < t_driver_count(); i++) {
        const struct BlkDriver *drv = t_driver(i);
        const char *slot = (const char *)&drv->open, *end = (const char *)drv + drv->struct_size;
        unsigned missing = 0;

        for (; slot < end; slot += sizeof(void (*)(void))) {
            void *function;

            memcpy(&function, slot, sizeof(function));
            missing += !function;
        }
        is(missing, 0, "%s has every slot", drv->protocol_name);
    }
}

static void once_per_process(void)
{
    struct BlkHost host = t_host(), other = t_host();
    unsigned drivers;

    is(init(&host), 0, "a host is registered");
    the_four_drivers();
    every_slot();
    drivers = t_driver_count();
    t_forget_reports();
    is(init(&host), -EALREADY, "the same host a second time");
    other.opaque = &other;
    is(init(&other), -EALREADY, "another host at the same time");
    is(t_driver_count(), drivers, "neither got drivers");
    is(t_reports(), 2, "both were told why");

    is(t_driver(0)->release(), 0, "release");
    t_forget_drivers();
    is(init(&other), 0, "another host after release");
    is(t_driver_count(), 4, "it got four drivers");
    is(t_driver(0)->release(), 0, "release");
    is(t_driver(0)->release(), 0, "a second release does nothing");
    t_forget_drivers();
}

static void a_larger_host(void)
{
    struct {
        struct BlkHost host;
        void (*from_the_future)(void);
    } later;

    memset(&later, 0, sizeof(later));
    later.host = t_host();
    later.host.struct_size = sizeof(later);
    is(init(&later.host), 0, "a host that was built against a later header");
    memset(&later, 0xff, sizeof(later));
    is(t_driver_count(), 4, "it got four drivers");
    is(t_driver(0)->release(), 0, "release, after the host's own struct has gone");
    t_forget_drivers();
}

int main(void)
{
    t_begin("registering: four drivers, one host at a time, nothing from hosts that cannot be trusted");
    t_dlopen();
    init = t_init_function();
    bad_hosts();
    refusing_hosts();
    once_per_process();
    a_larger_host();
    t_allow_output();
    return t_end();
}
