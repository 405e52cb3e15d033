/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network for the programs on the fake libgfapi, which has no daemons: the driver asks a management server for the
 * volume before it lets libgfapi connect. These programs therefore have a resolver and a connect(2) of their own, and a
 * child process behind them that answers.
 *
 * Every name and address leads to a server that knows every volume but those that begin with "unknown", every socket
 * too. The exceptions:
 *
 *   refused.test   refuses
 *   deaf.test      drops packets
 *   mute.test      accepts and never answers
 *   chatty.test    speaks another protocol
 *   leaves.test    hangs up
 *   second.test    has two addresses, refused.test's and 192.0.2.1, which answers
 *   *.invalid      are no names
 *   /no/...        are no sockets
 *   /full/...      are sockets whose owner accepts nobody, and whose queue is full
 */
#ifndef BLKGLUSTER_NETWORK_H
#define BLKGLUSTER_NETWORK_H

#include <stdint.h>

/* Starts the child, before there is any thread. */
void network_begin(void);
/* How often connect(2) was called. */
uint64_t network_connects(void);
/* How often host.invalid was looked up. */
int network_resolved_in_vain(void);
/* From now on connect(2) fails with that errno; 0 ends it. */
void network_refuse(int error);
/* The path of the last socket in the file system that was connected to. */
const char *network_socket(void);

#endif
