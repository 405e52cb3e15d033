/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The last number of its address in 192.0.2.0/24, which belongs to nobody. */
enum server { ANSWERS = 1, REFUSES, DEAF, MUTE, CHATTY, LEAVES, SOCKET, FULL, SERVERS };

static struct {
    struct sockaddr_storage address;
    socklen_t length;
    int fd;
} doors[SERVERS];
static uint64_t connects;
static int resolved_in_vain;
static int refusal;
static char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];

static uint32_t address_of(enum server server)
{
    return htonl(0xc0000200u | server);
}

/* ---- instead of libc's, for the driver: an executable's symbols come first ---------------------------------------- */

static struct addrinfo *entry(enum server server, int type, struct addrinfo *next)
{
    /* In one piece, as freeaddrinfo takes them. */
    struct addrinfo *entry = calloc(1, sizeof(*entry) + sizeof(struct sockaddr_in));
    struct sockaddr_in *address;

    if (!entry)
        abort();
    address = (struct sockaddr_in *)(entry + 1);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = address_of(server);
    entry->ai_family = AF_INET;
    entry->ai_socktype = type;
    entry->ai_addr = (struct sockaddr *)address;
    entry->ai_addrlen = sizeof(*address);
    entry->ai_next = next;
    return entry;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    static const struct {
        const char *name;
        enum server server;
    } names[] = {{"refused.test", REFUSES}, {"deaf.test", DEAF},     {"mute.test", MUTE},
                 {"chatty.test", CHATTY},   {"leaves.test", LEAVES}, {"second.test", REFUSES}};
    const char *dot = strrchr(name, '.');
    int type = hints ? hints->ai_socktype : SOCK_STREAM;
    enum server server = ANSWERS;
    unsigned i;

    (void)service;
    if (!strcmp(name, "host.invalid"))
        __atomic_fetch_add(&resolved_in_vain, 1, __ATOMIC_RELAXED);
    if (dot && !strcmp(dot, ".invalid"))
        return EAI_NONAME;
    for (i = 0; i < COUNT(names); i++)
        if (!strcmp(name, names[i].name))
            server = names[i].server;
    *found = entry(server, type, strcmp(name, "second.test") ? NULL : entry(ANSWERS, type, NULL));
    return 0;
}

/* So that IPv6 works on machines without it: connect does not care. */
int socket(int family, int type, int protocol)
{
    return (int)syscall(SYS_socket, family == AF_INET6 ? AF_INET : family, type, protocol);
}

static enum server server_at(const struct sockaddr *address)
{
    const struct sockaddr_in *inet = (const struct sockaddr_in *)address;
    const struct sockaddr_un *local = (const struct sockaddr_un *)address;
    int server;

    if (address->sa_family == AF_UNIX && !strncmp(local->sun_path, "/full/", 6))
        return FULL;
    if (address->sa_family == AF_UNIX)
        return strncmp(local->sun_path, "/no/", 4) ? SOCKET : 0;
    if (address->sa_family == AF_INET)
        for (server = ANSWERS; server < SOCKET; server++)
            if (inet->sin_addr.s_addr == address_of(server))
                return server;
    return ANSWERS;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    enum server server = server_at(address);

    (void)length;
    __atomic_fetch_add(&connects, 1, __ATOMIC_RELAXED);
    if (address->sa_family == AF_UNIX)
        snprintf(socket_path, sizeof(socket_path), "%s", ((const struct sockaddr_un *)(const void *)address)->sun_path);
    if (refusal) {
        errno = refusal;
        return -1;
    }
    if (!server || server == REFUSES) {
        errno = server ? ECONNREFUSED : ENOENT;
        return -1;
    }
    return (int)syscall(SYS_connect, fd, &doors[server].address, doors[server].length);
}

uint64_t network_connects(void)
{
    return __atomic_load_n(&connects, __ATOMIC_RELAXED);
}

int network_resolved_in_vain(void)
{
    return __atomic_load_n(&resolved_in_vain, __ATOMIC_RELAXED);
}

void network_refuse(int error)
{
    refusal = error;
}

const char *network_socket(void)
{
    return socket_path;
}

static __attribute__((noreturn)) void die(const char *what)
{
    fprintf(stderr, "the fake network: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the child ---------------------------------------------------------------------------------------------------- */

static uint32_t number_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static bool read_all(int fd, unsigned char *bytes, size_t length)
{
    return recv(fd, bytes, length, MSG_WAITALL) == (ssize_t)length;
}

/* GETSPEC, as glusterd answers it, with an empty description. */
static void answer(int fd)
{
    enum { NAME_LENGTH = 44, NAME = 48 };
    unsigned char question[4096];
    uint32_t reply[] = {0x80000000u | 40, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}, length;
    unsigned i;

    if (!read_all(fd, question, 4))
        return;
    length = number_at(question) & 0x7fffffffu;
    if (length < NAME || length > sizeof(question) || !read_all(fd, question, length))
        return;
    if (number_at(question + NAME_LENGTH) >= 7 && !memcmp(question + NAME, "unknown", 7)) {
        reply[7] = UINT32_MAX;
        reply[8] = ENOENT;
    }
    for (i = 0; i < COUNT(reply); i++)
        reply[i] = htonl(reply[i]);
    send(fd, reply, sizeof(reply), MSG_NOSIGNAL);
}

static void serve(enum server server, int fd)
{
    static const char banner[] = "220 mail.example.org ESMTP\r\n";
    static const struct timeval patience = {10, 0};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (server == CHATTY)
        send(fd, banner, sizeof(banner) - 1, MSG_NOSIGNAL);
    else if (server != LEAVES)
        answer(fd);
    close(fd);
}

static void live(int parent_lives)
{
    static const enum server open[] = {ANSWERS, CHATTY, LEAVES, SOCKET};
    struct pollfd polled[COUNT(open) + 1];
    unsigned i;

    for (i = 0; i < COUNT(open); i++)
        polled[i] = (struct pollfd){doors[open[i]].fd, POLLIN, 0};
    polled[i] = (struct pollfd){parent_lives, POLLIN, 0};
    for (;;) {
        if (poll(polled, COUNT(polled), -1) < 0 || polled[COUNT(open)].revents)
            raise(SIGKILL); /* no leak check: what is here is the parent's */
        for (i = 0; i < COUNT(open); i++)
            if (polled[i].revents) {
                int fd = accept(polled[i].fd, NULL, NULL);

                if (fd >= 0)
                    serve(open[i], fd);
            }
    }
}

static void open_door(enum server server, int backlog)
{
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    bool is_local = server == SOCKET || server == FULL;
    int family = is_local ? AF_UNIX : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (is_local) {
        /* An abstract one, which leaves no file. */
        snprintf(local.sun_path + 1, sizeof(local.sun_path) - 1, "blkgluster-network-%d-%d", (int)getpid(), server);
        memcpy(&doors[server].address, &local, sizeof(local));
        doors[server].length = sizeof(local);
    } else {
        memcpy(&doors[server].address, &inet, sizeof(inet));
        doors[server].length = sizeof(inet);
    }
    if (fd < 0 || bind(fd, (struct sockaddr *)&doors[server].address, doors[server].length) || listen(fd, backlog) ||
        (!is_local && getsockname(fd, (struct sockaddr *)&doors[server].address, &doors[server].length)))
        die("cannot listen");
    doors[server].fd = fd;
}

/* Fills the queue of connections that nobody accepts, so that the kernel drops every further SYN. */
static void make_deaf(int fillers[4])
{
    struct pollfd last = {-1, POLLOUT, 0};
    unsigned i;

    for (i = 0; i < 4; i++) {
        fillers[i] = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (syscall(SYS_connect, fillers[i], &doors[DEAF].address, doors[DEAF].length) && errno != EINPROGRESS)
            die("cannot connect");
    }
    last.fd = fillers[3];
    if (poll(&last, 1, 100) != 0)
        die("the deaf server hears");
}

/* The same for a socket: whoever comes next waits, and nobody ever lets him in. */
static void make_full(int fillers[2])
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        fillers[i] = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (syscall(SYS_connect, fillers[i], &doors[FULL].address, doors[FULL].length) && errno != EAGAIN)
            die("cannot connect");
    }
    if (errno != EAGAIN)
        die("the full socket has room");
}

void network_begin(void)
{
    int lives[2], fillers[6];
    enum server server;
    unsigned i;

    if (pipe2(lives, O_CLOEXEC))
        die("no pipe");
    for (server = ANSWERS; server < SERVERS; server++)
        if (server != REFUSES)
            open_door(server, server == DEAF || server == FULL ? 0 : 1024);
    make_deaf(fillers);
    make_full(fillers + 4);
    switch (fork()) {
    case -1:
        die("cannot fork");
    case 0:
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(lives[1]);
        live(lives[0]);
        _exit(0);
    default:
        break;
    }
    /* What the child goes on holding. */
    close(lives[0]);
    for (i = 0; i < COUNT(fillers); i++)
        close(fillers[i]);
    for (server = ANSWERS; server < SERVERS; server++)
        if (server != REFUSES)
            close(doors[server].fd);
}
