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
        ok(!strcmp(drv->create_options[2].name, "exists") && !strcmp(drv->create_options[2].kind, "cut|fail|keep"),
           "create knows exists");
        ok(!drv->create_options[3].name, "create knows nothing else");
    }
}

/* What a name of the list stands for, when it has N or PATTERN in it. */
static const char *example(const char *name)
{
    static char text[128];
    const char *number = strstr(name, ".N.");

    if (!strcmp(name, "xlator.PATTERN.KEY"))
        return "xlator.*-client-*.ping-timeout";
    if (!number)
        return name;
    snprintf(text, sizeof(text), "%.*s.0.%s", (int)(number - name), name, number + 3);
    return text;
}

/* What a driver lists it takes: whatever is wrong with the value, or missing beside it, the name is known. */
static void the_options(const struct BlkDriver *drv)
{
    struct BlkState bs = {.struct_size = sizeof(bs), .opaque = calloc(1, drv->instance_size)};
    struct BlkError error = {.struct_size = sizeof(error)};
    const struct BlkOpenOption *option;
    unsigned count = 0, wrong = 0;

    for (option = drv->open_options; option->name; option++, count++) {
        struct BlkOption list[] = {{example(option->name), ""}, {NULL, NULL}};
        bool refused;

        wrong += drv->open(&bs, list, 0, &error) != -EINVAL || strstr(error.message, "unknown option") != NULL;
        wrong += drv->create("", list, &error) != -EINVAL;
        refused = strstr(error.message, "unknown option") != NULL;
        wrong += refused == (option->for_create == 1);
        wrong += !option->kind || !*option->kind || !option->help || !*option->help || option->reserved;
        wrong += option->default_value && !*option->default_value;
        if (wrong)
            fail("%s: '%s' is listed, but: %s", drv->protocol_name, option->name, error.message);
    }
    ok(count > 15 && !wrong, "%s: open takes the %u options that it lists, and create those that it should",
       drv->protocol_name, count);
    for (wrong = 0; drv->create_options[wrong].name; wrong++) {
        struct BlkOption list[] = {{drv->create_options[wrong].name, "x"}, {NULL, NULL}};

        is(drv->create("", list, &error), -EINVAL, "create takes %s", list[0].name);
        ok(!strstr(error.message, "unknown option"), "... and says what it wants: %s", error.message);
        is(drv->open(&bs, list, 0, &error), -EINVAL, "open does not");
        ok(strstr(error.message, "unknown option") != NULL, "... %s", error.message);
    }
    for (option = drv->open_options; option->name; option++) {
        struct BlkOption list[] = {{"colour", "red"}, {NULL, NULL}};

        if (drv->open(&bs, list, 0, &error) != -EINVAL || !strstr(error.message, option->name))
            fail("an unknown option's message does not name %s: %s", option->name, error.message);
    }
    free(bs.opaque);
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
    for (drivers = 0; drivers < t_driver_count(); drivers++)
        the_options(t_driver(drivers));
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
