/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network that goes with a fake server: the driver looks whether a server is there before it asks libgfapi. A
 * program's symbols come before libc's; those that have this file make no other use of the two.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int fake_unreachable;
int fake_connects;
char fake_socket[sizeof(((struct sockaddr_un *)0)->sun_path)];

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return strcmp(name, "unknown") ? real("127.0.0.1", service, hints, found) : EAI_NONAME;
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    (void)fd, (void)length;
    if (address->sa_family == AF_UNIX)
        snprintf(fake_socket, sizeof(fake_socket), "%s", ((const struct sockaddr_un *)(const void *)address)->sun_path);
    __atomic_add_fetch(&fake_connects, 1, __ATOMIC_SEQ_CST);
    errno = fake_unreachable;
    return fake_unreachable ? -1 : 0;
}
