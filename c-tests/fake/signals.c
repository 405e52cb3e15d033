/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The threads of the library and of libgfapi take no signal away from the host; the host's own mask stays. */
#include <signal.h>

#include "on_fake.h"

static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL}; /* blocking these means nothing */

static bool all_blocked(const sigset_t *mask)
{
    int number;
    unsigned i;

    for (number = 1; number < 32; number++) {
        bool exempt = number == SIGKILL || number == SIGSTOP;

        for (i = 0; i < T_COUNT(deadly); i++)
            exempt |= number == deadly[i];
        if (!exempt && !sigismember(mask, number)) {
            t_say("signal %d is not blocked", number);
            return false;
        }
    }
    return sigismember(mask, SIGRTMIN) && sigismember(mask, SIGRTMAX);
}

static pthread_t main_thread;
static int elsewhere, handled;

static void handler(int number)
{
    (void)number;
    if (!pthread_equal(pthread_self(), main_thread))
        __atomic_add_fetch(&elsewhere, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&handled, 1, __ATOMIC_RELAXED);
}

/* In parentheses, since <signal.h> has a macro of that name. */
static void masks(void)
{
    static const struct {
        int which;
        const char *name;
    } places[] = {
        {FAKE_MASK_NEW, "in glfs_new"}, {FAKE_MASK_INIT, "in glfs_init"}, {FAKE_MASK_NETWORK, "of the network thread"}};
    sigset_t mask;
    unsigned i;

    for (i = 0; i < T_COUNT(places); i++)
        ok((fake.sigmask)(places[i].which, &mask) == 0 && all_blocked(&mask), "every signal is blocked %s",
           places[i].name);
}

static void own_mask(struct img *img)
{
    sigset_t wanted, before, after;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR2);
    sigaddset(&wanted, SIGWINCH);
    pthread_sigmask(SIG_SETMASK, &wanted, &before);
    fake_open(img, "signals", 4096);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    is(memcmp(&wanted, &after, sizeof(unsigned long)), 0, "the opening thread's own mask is as before");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* A request's way is full of system calls that a signal interrupts. */
static void a_storm_of_signals(struct img *img)
{
    struct sigaction action;
    char data[4096] = {0};
    int i, failed = 0;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handler; /* without SA_RESTART */
    sigaction(SIGUSR1, &action, NULL);
    for (i = 0; i < 2000; i++) {
        struct io io = {0};

        io_pwrite(&io, img, data, sizeof(data), 0);
        kill(getpid(), SIGUSR1);
        failed += io_wait(&io) != 0;
    }
    is(failed, 0, "requests under a storm of signals");
    ok(handled > 1000, "%d signals", handled);
    is(elsewhere, 0, "all of them were handled on the host's thread");
}

static void ignored_by_the_host(int number)
{
    (void)number;
}

/* What becomes of SIGPIPE, which Gluster's writes to a dead brick's socket raise, in a host that had set it so. */
static int broken_pipes(const char *before)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = !strcmp(before, "handler") ? ignored_by_the_host : !strcmp(before, "ignored") ? SIG_IGN : SIG_DFL;
    sigaction(SIGPIPE, &action, NULL);
    fake_begin("SIGPIPE");
    sigaction(SIGPIPE, NULL, &action);
    if (!strcmp(before, "handler"))
        ok(action.sa_handler == ignored_by_the_host, "the host's handler for SIGPIPE stays");
    else
        ok(action.sa_handler == SIG_IGN, "SIGPIPE, which was %s, is ignored", before);
    raise(SIGPIPE);
    return fake_end();
}

int main(int argc, char **argv)
{
    struct img img;

    if (argc > 1)
        return broken_pipes(argv[1]);
    fake_begin("signals stay with the host's threads");
    main_thread = pthread_self();
    own_mask(&img);
    a_storm_of_signals(&img);
    masks();
    img_close(&img);
    is(t_run_self("default", 10), 0, "SIGPIPE at its default");
    is(t_run_self("ignored", 10), 0, "SIGPIPE ignored");
    is(t_run_self("handler", 10), 0, "SIGPIPE with a handler of the host's");
    return fake_end();
}
