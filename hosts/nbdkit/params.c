/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the user said on the command line, as a URI and options for blkgluster. */
#include "plugin.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct params params = {.create = -1};

/* The parameters that are kept as text. */
static char **place_of(const char *key)
{
    static const struct {
        const char *key;
        char **place;
    } known[] = {
        {"uri", &params.uri},
        {"volume", &params.volume},
        {"path", &params.path},
        {"server", &params.server},
        {"write-cache", &params.write_cache},
        {"connect-timeout", &params.connect_timeout},
        {"keep-connection", &params.keep_connection},
    };
    unsigned i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(key, known[i].key) == 0)
            return known[i].place;
    return NULL;
}

static int set_text(const char *key, char **place, const char *value)
{
    if (*place) {
        nbdkit_error("%s is given twice", key);
        return -1;
    }
    *place = strdup(value);
    if (!*place) {
        nbdkit_error("strdup: %m");
        return -1;
    }
    return 0;
}

int params_set(const char *key, const char *value)
{
    char **place = place_of(key);
    int flag;

    if (place)
        return set_text(key, place, value);
    if (strcmp(key, "create") == 0) {
        if (params.create >= 0) {
            nbdkit_error("create is given twice");
            return -1;
        }
        params.create = nbdkit_parse_size(value);
        if (params.create < 0) {
            nbdkit_error("create takes the size of the image to be made, such as create=10G");
            return -1;
        }
        return 0;
    }
    if (strcmp(key, "readonly") == 0) {
        flag = nbdkit_parse_bool(value);
        if (flag < 0)
            return -1;
        params.readonly = flag;
        return 0;
    }
    nbdkit_error("unknown parameter '%s'; known are uri, volume, path, server, create, readonly, write-cache, "
                 "connect-timeout, keep-connection", key);
    return -1;
}

/* ---- the URI --------------------------------------------------------------------------------------------------- */

/* Percent-encodes into `to`, which may be NULL to count only. The number of bytes, without a final NUL. */
static size_t encode(char *to, const char *from, const char *plain)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *c;
    size_t n = 0;

    for (c = (const unsigned char *)from; *c; c++) {
        bool keep = isalnum(*c) || strchr("-._~", *c) || strchr(plain, *c);

        if (to && keep) {
            to[n] = *c;
        } else if (to) {
            to[n] = '%';
            to[n + 1] = hex[*c >> 4];
            to[n + 2] = hex[*c & 15];
        }
        n += keep ? 1 : 3;
    }
    return n;
}

static char *encoded(const char *text, const char *plain)
{
    size_t length = encode(NULL, text, plain);
    char *result = malloc(length + 1);

    if (result) {
        encode(result, text, plain);
        result[length] = '\0';
    }
    return result;
}

static int make_uri(void)
{
    bool is_socket = params.server && params.server[0] == '/';
    char *server = encoded(params.server ? params.server : "", is_socket ? "/" : ":[]");
    char *volume = encoded(params.volume, "");
    char *path = encoded(params.path, "/");
    int length = -1;

    if (server && volume && path && is_socket)
        length = asprintf(&params.uri, "gluster+unix:///%s/%s?socket=%s", volume, path, server);
    else if (server && volume && path)
        length = asprintf(&params.uri, "gluster://%s/%s/%s", server, volume, path);
    free(server);
    free(volume);
    free(path);
    if (length < 0) {
        params.uri = NULL;
        nbdkit_error("no memory for the URI");
        return -1;
    }
    return 0;
}

int params_complete(void)
{
    const char *colon;

    if (params.uri && (params.volume || params.path || params.server)) {
        nbdkit_error("uri says all that volume, path and server would say; leave either it or them out");
        return -1;
    }
    if (!params.uri) {
        if (!params.volume || !params.path || !params.volume[0] || !params.path[0]) {
            nbdkit_error("which image? Say uri=gluster://server/volume/path, or volume=, path= and server=");
            return -1;
        }
        if (make_uri() < 0)
            return -1;
    }
    colon = strchr(params.uri, ':');
    params.drv = colon ? driver_for(params.uri, colon - params.uri) : NULL;
    /* No such scheme: blkgluster has a sentence about it. */
    if (!params.drv)
        params.drv = driver_for("gluster", strlen("gluster"));
    nbdkit_debug("gluster: serving %s", params.uri);
    return 0;
}

void params_free(void)
{
    free(params.uri);
    free(params.volume);
    free(params.path);
    free(params.server);
    free(params.write_cache);
    free(params.connect_timeout);
    free(params.keep_connection);
    memset(&params, 0, sizeof(params));
}

/* ---- options --------------------------------------------------------------------------------------------------- */

static void common_options(BlkOption options[PARAMS_OPTIONS], const char *name, const char *value)
{
    const BlkOption all[] = {
        {name, value},
        {"write-cache", params.write_cache},
        {"connect-timeout", params.connect_timeout},
        {"keep-connection", params.keep_connection},
    };
    unsigned i, n = 0;

    memset(options, 0, PARAMS_OPTIONS * sizeof(options[0]));
    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].value)
            options[n++] = all[i];
}

void params_open_options(BlkOption options[PARAMS_OPTIONS])
{
    common_options(options, "filename", params.uri);
}

void params_create_options(BlkOption options[PARAMS_OPTIONS], const char *size)
{
    common_options(options, "size", size);
}
