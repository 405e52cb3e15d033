/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compat.h"
#include "qapi/qapi-types-sockets.h"

#include "location.h"

static QemuOptsList open_opts = {
    .name = "gluster",
    .head = QTAILQ_HEAD_INITIALIZER(open_opts.head),
    .desc = {
        { .name = "filename", .type = QEMU_OPT_STRING, .help = "URI of the image" },
        { .name = "volume", .type = QEMU_OPT_STRING, .help = "Volume that holds the image" },
        { .name = "path", .type = QEMU_OPT_STRING, .help = "Path of the image in the volume" },
        { .name = "debug", .type = QEMU_OPT_NUMBER, .help = "Taken for compatibility, without effect" },
        { .name = "logfile", .type = QEMU_OPT_STRING, .help = "Taken for compatibility, without effect" },
        /* Not in QEMU's schema: -drive and --image-opts take them, -blockdev does not. */
        { .name = "write-cache", .type = QEMU_OPT_STRING, .help = "Gluster's write-behind, on or off" },
        { .name = "connect-timeout", .type = QEMU_OPT_STRING, .help = "Seconds that connecting may take" },
        { .name = "keep-connection", .type = QEMU_OPT_STRING, .help = "Seconds that an idle connection is kept" },
        { /* end of list */ }
    }
};

static QemuOptsList server_opts = {
    .name = "gluster-server",
    .head = QTAILQ_HEAD_INITIALIZER(server_opts.head),
    .desc = {
        { .name = "type", .type = QEMU_OPT_STRING, .help = "inet (or tcp) or unix" },
        { .name = "host", .type = QEMU_OPT_STRING, .help = "Name or address (inet)" },
        { .name = "port", .type = QEMU_OPT_STRING, .help = "Port of glusterd (inet)" },
        { .name = "path", .type = QEMU_OPT_STRING, .help = "Path of glusterd's socket (unix)" },
        { .name = "socket", .type = QEMU_OPT_STRING, .help = "Older name of path (unix)" },
        { /* end of list */ }
    }
};

void location_clear(GlusterLocation *location)
{
    g_free(location->uri);
    g_free(location->write_cache);
    g_free(location->connect_timeout);
    g_free(location->keep_connection);
    memset(location, 0, sizeof(*location));
}

void location_options(const GlusterLocation *location, BlkOption list[LOCATION_OPTIONS], const char *name,
                      const char *value)
{
    const BlkOption all[] = {
        { "filename", location->uri },
        { "write-cache", location->write_cache },
        { "connect-timeout", location->connect_timeout },
        { "keep-connection", location->keep_connection },
        { name, value },
    };
    int used = 0;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        /* create takes the URI as an argument. */
        if (all[i].name && all[i].value && !(i == 0 && name)) {
            list[used++] = all[i];
        }
    }
    list[used] = (BlkOption){ NULL, NULL };
}

static char *escaped(const char *text, const char *besides)
{
    return g_uri_escape_string(text, besides, false);
}

/* gluster://host:port/volume/path. blkgluster checks all of it; only what a URI cannot hold is refused here. */
static int uri_of_inet(char **uri, const char *volume, const char *path, const char *host, const char *port,
                       Error **errp)
{
    bool v6 = strchr(host, ':');
    g_autofree char *v = escaped(volume, NULL);
    g_autofree char *p = escaped(path, "/");
    /* A host name has no characters to escape; a percent sign in it would only hide what is wrong. */
    bool bad = strpbrk(host, v6 ? "/?#@[]% " : "/?#@[]%: ");

    if (bad || !*host) {
        error_setg(errp, "'%s' is neither a host name nor an address", host);
        return -EINVAL;
    }
    if (port && (!*port || port[strspn(port, "0123456789")])) {
        error_setg(errp, "port '%s' of Gluster server %s is not a number", port, host);
        return -EINVAL;
    }
    *uri = g_strdup_printf(v6 ? "gluster://[%s]%s%s/%s/%s" : "gluster://%s%s%s/%s/%s", host, port ? ":" : "",
                           port ? port : "", v, p);
    return 0;
}

static char *uri_of_unix(const char *volume, const char *path, const char *socket)
{
    g_autofree char *v = escaped(volume, NULL);
    g_autofree char *p = escaped(path, "/");
    g_autofree char *s = escaped(socket, "/");

    return g_strdup_printf("gluster+unix:///%s/%s?socket=%s", v, p, s);
}

/* An image has to have both; an empty one would make a URI that says something else. */
static int check_image(const char *volume, const char **path, Error **errp)
{
    if (!volume || !*volume) {
        error_setg(errp, "the name of the Gluster volume is missing: give volume=NAME, or a filename");
        return -EINVAL;
    }
    *path += *path ? strspn(*path, "/") : 0;
    if (!*path || !**path) {
        error_setg(errp, "the path of the image in volume %s is missing: give path=PATH", volume);
        return -EINVAL;
    }
    return 0;
}

/* blkgluster connects to one server so far. */
static void warn_of_others(int servers, const char *volume)
{
    if (servers > 1) {
        warn_report("of the %d servers of volume %s only the first is tried", servers, volume);
    }
}

static int uri_of_server(char **uri, const char *volume, const char *path, QemuOpts *server, Error **errp)
{
    const char *type = qemu_opt_get(server, "type");
    const char *host = qemu_opt_get(server, "host");
    const char *port = qemu_opt_get(server, "port");
    const char *socket = qemu_opt_get(server, "path");

    socket = socket ? socket : qemu_opt_get(server, "socket");
    if (!type) {
        error_setg(errp, "server.0.type is missing: inet or unix");
        return -EINVAL;
    }
    if (!strcmp(type, "unix")) {
        if (!socket || host || port) {
            error_setg(errp, "a server of type unix takes a path, and neither host nor port");
            return -EINVAL;
        }
        *uri = uri_of_unix(volume, path, socket);
        return 0;
    }
    if (strcmp(type, "inet") && strcmp(type, "tcp")) {
        error_setg(errp, "server.0.type is '%s', but Gluster is reached by inet (or tcp) or unix", type);
        return -EINVAL;
    }
    if (!host || socket) {
        error_setg(errp, "a server of type %s takes a host and a port, and no path", type);
        return -EINVAL;
    }
    return uri_of_inet(uri, volume, path, host, port, errp);
}

/* Takes server.* out of `options`. */
static int uri_from_servers(char **uri, const char *volume, const char *path, QDict *options, Error **errp)
{
    QDict *servers = NULL, *first = NULL;
    QemuOpts *opts = qemu_opts_create(&server_opts, NULL, 0, &error_abort);
    int count, ret = -EINVAL;

    qdict_extract_subqdict(options, &servers, "server.");
    count = qdict_array_entries(servers, "");
    if (count < 1) {
        error_setg(errp, "the servers of volume %s have to be given as server.0.type, server.0.host and so on", volume);
        goto out;
    }
    qdict_extract_subqdict(servers, &first, "0.");
    if (!qemu_opts_absorb_qdict(opts, first, errp)) {
        goto out;
    }
    ret = uri_of_server(uri, volume, path, opts, errp);
    if (ret < 0) {
        goto out;
    }
    if (qdict_size(first)) {
        error_setg(errp, "server.0.%s means nothing to Gluster; there are type, host, port and path",
                   qdict_entry_key(qdict_first(first)));
        ret = -EINVAL;
        goto out;
    }
    warn_of_others(count, volume);
out:
    qemu_opts_del(opts);
    qobject_unref(first);
    qobject_unref(servers);
    return ret;
}

/* Gluster's own log is not kept: what goes wrong is said in QEMU's error. libvirt always gives debug. */
static void warn_of_log(const char *logfile)
{
    if (logfile && strcmp(logfile, "-") && strcmp(logfile, "/dev/null")) {
        warn_report("logfile=%s has no effect: blkgluster keeps no log of Gluster's", logfile);
    }
}

int location_from_options(GlusterLocation *location, QDict *options, Error **errp)
{
    QemuOpts *opts = qemu_opts_create(&open_opts, NULL, 0, &error_abort);
    const char *filename, *volume, *path;
    int ret = -EINVAL;

    if (!qemu_opts_absorb_qdict(opts, options, errp)) {
        goto out;
    }
    filename = qemu_opt_get(opts, "filename");
    volume = qemu_opt_get(opts, "volume");
    path = qemu_opt_get(opts, "path");
    if (filename) {
        if (volume || path) {
            error_setg(errp, "filename says it all: leave volume and path out, or give them and no filename");
            goto out;
        }
        location->uri = g_strdup(filename);
    } else {
        ret = check_image(volume, &path, errp);
        ret = ret ? ret : uri_from_servers(&location->uri, volume, path, options, errp);
        if (ret < 0) {
            goto out;
        }
    }
    warn_of_log(qemu_opt_get(opts, "logfile"));
    location->write_cache = g_strdup(qemu_opt_get(opts, "write-cache"));
    location->connect_timeout = g_strdup(qemu_opt_get(opts, "connect-timeout"));
    location->keep_connection = g_strdup(qemu_opt_get(opts, "keep-connection"));
    ret = 0;
out:
    qemu_opts_del(opts);
    return ret;
}

int location_from_qapi(GlusterLocation *location, const BlockdevOptionsGluster *options, Error **errp)
{
    const SocketAddressList *list = options->server;
    const char *path = options->path;
    int count = 0, ret = check_image(options->volume, &path, errp);

    if (ret < 0) {
        return ret;
    }
    for (const SocketAddressList *at = list; at; at = at->next) {
        count++;
    }
    if (!count) {
        error_setg(errp, "volume %s has no server", options->volume);
        return -EINVAL;
    }
    warn_of_others(count, options->volume);
    switch (list->value->type) {
    case SOCKET_ADDRESS_TYPE_UNIX:
        location->uri = uri_of_unix(options->volume, path, list->value->u.q_unix.path);
        return 0;
    case SOCKET_ADDRESS_TYPE_INET:
        return uri_of_inet(&location->uri, options->volume, path, list->value->u.inet.host, list->value->u.inet.port,
                           errp);
    default:
        error_setg(errp, "Gluster is reached by a server of type inet or unix");
        return -EINVAL;
    }
}
