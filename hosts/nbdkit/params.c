/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user said on the command line. blkgluster reads its options itself, and has the sentences for what is wrong
 * with them, so they are passed on as they came; here is only what is nbdkit's: create, readonly, and two short forms.
 */
#include "plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct params params = {.create = -1};

static BlkOption *options; /* without a NULL name at the end */
static unsigned option_count;
static unsigned server_count;

static int add_option(const char *name, const char *value, size_t length)
{
    static const char on[] = "on";
    BlkOption *more = realloc(options, (option_count + 1) * sizeof(*options));
    char *own_name = strdup(name), *own_value = strndup(value, length);

    if (more)
        options = more;
    if (!more || !own_name || !own_value) {
        free(own_name);
        free(own_value);
        nbdkit_error("no memory for the parameters");
        return -1;
    }
    if (!strcmp(name, "write-cache"))
        params.write_cache = length == strlen(on) && !strncmp(value, on, length);
    options[option_count].name = own_name;
    options[option_count++].value = own_value;
    return 0;
}

static int add_server(const char *key, const char *value, size_t length)
{
    char name[32];

    snprintf(name, sizeof(name), "server.%u.%s", server_count, key);
    return add_option(name, value, length);
}

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT, IPV6, or the path of a socket. */
static int set_server(const char *value)
{
    const char *bracket = value[0] == '[' ? strchr(value, ']') : NULL;
    const char *colon = strchr(bracket ? bracket : value, ':');
    size_t length = strlen(value);
    int result;

    if (!bracket && colon && strchr(colon + 1, ':'))
        colon = NULL; /* of an IPv6 address */
    if (value[0] == '/')
        result = add_server("path", value, length);
    else if (bracket && bracket[1] != '\0' && colon != bracket + 1)
        result = add_server("host", value, length); /* is refused with a sentence */
    else if (bracket)
        result = add_server("host", value + 1, bracket - value - 1);
    else
        result = add_server("host", value, colon ? (size_t)(colon - value) : length);
    if (result == 0 && value[0] != '/' && colon)
        result = add_server("port", colon + 1, strlen(colon + 1));
    server_count++;
    return result;
}
/* NAME=VALUE */
static int set_xlator(const char *text)
{
    const char *equals = strchr(text, '=');
    char *name = strndup(text, equals - text);
    int result = -1;

    if (name)
        result = add_option(name, equals + 1, strlen(equals + 1));
    else
        nbdkit_error("no memory for the parameters");
    free(name);
    return result;
}

int params_set(const char *key, const char *value)
{
    int flag;

    if (strcmp(key, "create") == 0) {
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
    if (strcmp(key, "server") == 0)
        return set_server(value);
    /* A key with a `*` is none to nbdkit, which then takes all of it for the value that needs no key. */
    if (strcmp(key, "uri") == 0 && strncmp(value, "xlator.", strlen("xlator.")) == 0 && strchr(value, '='))
        return set_xlator(value);
    return add_option(strcmp(key, "uri") == 0 ? "filename" : key, value, strlen(value));
}

static const char *find(const char *name)
{
    unsigned i;

    for (i = 0; i < option_count; i++)
        if (strcmp(options[i].name, name) == 0)
            return options[i].value;
    return NULL;
}

int params_complete(void)
{
    const char *colon;

    params.uri = find("filename");
    if (!params.uri && !(find("volume") && find("path"))) {
        nbdkit_error("which image? Say uri=gluster://server/volume/path, or volume=, path= and server=");
        return -1;
    }
    if (params.uri)
        params.name = nbdkit_strdup_intern(params.uri);
    else
        params.name = nbdkit_printf_intern("%s of volume %s", find("path"), find("volume"));
    if (!params.name)
        return -1;
    if (!params.uri && server_count == 0 && !find("server.0.host") && !find("server.0.path") &&
        set_server("localhost") < 0)
        return -1;
    colon = params.uri ? strchr(params.uri, ':') : NULL;
    params.drv = colon ? driver_for(params.uri, colon - params.uri) : NULL;
    /* The parts are for this one; and for a URI of no such scheme it has a sentence. */
    if (!params.drv)
        params.drv = driver_for("gluster", strlen("gluster"));
    return 0;
}

void params_free(void)
{
    while (option_count > 0) {
        free((void *)options[--option_count].name);
        free((void *)options[option_count].value);
    }
    free(options);
    options = NULL;
}

static bool is_of_open_only(const char *name)
{
    static const char *const names[] = {"filename", "share-rw", "on-disconnect", "slow-request"};
    unsigned i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

BlkOption *params_options(const char *size)
{
    BlkOption *result = calloc(option_count + 2, sizeof(*result));
    unsigned i, n = 0;

    if (!result) {
        nbdkit_error("no memory for the parameters");
        return NULL;
    }
    for (i = 0; i < option_count; i++)
        if (!size || !is_of_open_only(options[i].name))
            result[n++] = options[i];
    if (size) {
        result[n].name = "size";
        result[n].value = size;
    }
    return result;
}
