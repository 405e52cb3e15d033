/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"
#include "qapi/qapi-visit-block-core.h"
#include "qapi/qobject-output-visitor.h"

#include "location.h"

/* -blockdev takes those of QEMU's schema only (volume to logfile, server.N.*); -drive and --image-opts take all. */
static const char *const names[] = {
    "filename",     "volume",        "path",        "debug",           "logfile",
    "ping-timeout", "frame-timeout", "write-cache", "connect-timeout", "keep-connection",
    "locking",      "share-rw",      "on-disconnect", "slow-request",    "strict-locks",
    "statistics",   "trace",         "strict-flush",
};
static const char *const prefixes[] = { "server.", "xlator." };

static bool is_ours(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(name, names[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (g_str_has_prefix(name, prefixes[i])) {
            return true;
        }
    }
    return false;
}

GlusterLocation location_with(GlusterLocation location, const char *name, const char *value)
{
    size_t used = 0;

    while (location && location[used].name) {
        used++;
    }
    location = g_renew(BlkOption, location, used + 2);
    if (value) {
        location[used++] = (BlkOption){ g_strdup(name), g_strdup(value) };
    }
    location[used] = (BlkOption){ NULL, NULL };
    return location;
}

/* JSON brings numbers and booleans, too. */
static char *as_text(const QObject *value)
{
    switch (qobject_type(value)) {
    case QTYPE_QSTRING:
        return g_strdup(qstring_get_str(qobject_to(QString, value)));
    case QTYPE_QNUM:
        return qnum_to_string(qobject_to(QNum, value));
    case QTYPE_QBOOL:
        return g_strdup(qbool_get_bool(qobject_to(QBool, value)) ? "on" : "off");
    default:
        return g_strdup("");
    }
}

GlusterLocation location_from_options(QDict *options)
{
    GlusterLocation location = location_with(NULL, NULL, NULL);
    const QDictEntry *entry = qdict_first(options);

    while (entry) {
        const QDictEntry *next = qdict_next(options, entry);
        const char *name = qdict_entry_key(entry);

        if (is_ours(name)) {
            g_autofree char *value = as_text(qdict_entry_value(entry));

            location = location_with(location, name, value);
            qdict_del(options, name);
        }
        entry = next;
    }
    return location;
}

GlusterLocation location_from_qapi(BlockdevOptionsGluster *options)
{
    QObject *tree = NULL;
    Visitor *visitor = qobject_output_visitor_new(&tree);
    GlusterLocation location;

    visit_type_BlockdevOptionsGluster(visitor, NULL, &options, &error_abort);
    visit_complete(visitor, &tree);
    visit_free(visitor);
    qdict_flatten(qobject_to(QDict, tree));
    location = location_from_options(qobject_to(QDict, tree));
    qobject_unref(tree);
    return location;
}

static const char *value_of(const BlkOption *location, const char *name)
{
    for (; location->name; location++) {
        if (!strcmp(location->name, name)) {
            return location->value;
        }
    }
    return NULL;
}

const char *location_uri(const BlkOption *location)
{
    return value_of(location, "filename");
}

GlusterLocation location_with_locking(GlusterLocation location)
{
    if (!value_of(location, "locking")) {
        const char *said = g_getenv("BLKGLUSTER_LOCKING");

        location = location_with(location, "locking", said && *said ? said : "auto");
    }
    if (!strcmp(value_of(location, "locking"), "auto") && !value_of(location, "strict-locks")) {
        location = location_with(location, "strict-locks", "off");
    }
    return location;
}

GlusterLocation location_with_flushing(GlusterLocation location)
{
    const char *said = g_getenv("BLKGLUSTER_STRICT_FLUSH");

    if (!value_of(location, "strict-flush") && said && *said) {
        location = location_with(location, "strict-flush", said);
    }
    return location;
}

bool location_has_lock(const BlkOption *location)
{
    const char *locking = value_of(location, "locking");

    return locking && strcmp(locking, "off");
}

char *location_take(GlusterLocation location, const char *name)
{
    char *value = NULL;

    while (location->name && strcmp(location->name, name)) {
        location++;
    }
    if (location->name) {
        g_free((char *)location->name);
        value = (char *)location->value;
        do {
            location[0] = location[1];
        } while ((location++)->name);
    }
    return value;
}

void location_free(GlusterLocation location)
{
    for (BlkOption *at = location; at && at->name; at++) {
        g_free((char *)at->name);
        g_free((char *)at->value);
    }
    g_free(location);
}
