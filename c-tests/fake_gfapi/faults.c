/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fault rules: which calls go wrong, and how. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

struct rule {
    struct fake_rule set;
    char *volume;
    int id;
    uint64_t calls, hits;
    struct rule *older;
};

atomic_uint active_rules; /* lets the fast path skip the lock */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule *newest;
static int last_id;

static bool covers(const struct rule *rule, enum fake_op op, const char *volume)
{
    static const bool is_async[] = {
#define X(upper, lower, async) async,
        FAKE_OPS(X)
#undef X
    };

    if (rule->volume && (!volume || strcmp(rule->volume, volume) != 0))
        return false;
    return rule->set.op == (int)op || rule->set.op == FAKE_ANY ||
           (rule->set.op == FAKE_ANY_ASYNC && is_async[op]);
}

static bool hits(struct rule *rule)
{
    uint64_t first = rule->set.nth ? rule->set.nth : 1;
    uint64_t call = ++rule->calls;

    if (rule->set.times && rule->hits >= rule->set.times)
        return false;
    if (call < first)
        return false;
    return rule->set.every ? (call - first) % rule->set.every == 0
                           : call == first;
}

struct verdict verdict_lookup(enum fake_op op, const char *volume)
{
    struct verdict verdict = { FAKE_PASS, 0, 0 };
    bool found = false;

    pthread_mutex_lock(&lock);
    for (struct rule *rule = newest; rule; rule = rule->older) {
        if (!covers(rule, op, volume) || !hits(rule) || found)
            continue;
        rule->hits++;
        found = true;
        verdict = (struct verdict){ (enum fake_action)rule->set.action,
                                    rule->set.err, rule->set.arg };
    }
    pthread_mutex_unlock(&lock);
    if (found)
        count(&record.faults, 1);
    return verdict;
}

EXPORT int fake_gfapi_add_rule(const struct fake_rule *set)
{
    struct rule *rule = calloc(1, sizeof(*rule));

    if (!rule)
        return -1;
    rule->set = *set;
    if (set->volume && !(rule->volume = strdup(set->volume))) {
        free(rule);
        return -1;
    }
    pthread_mutex_lock(&lock);
    rule->id = ++last_id;
    rule->older = newest;
    newest = rule;
    atomic_fetch_add(&active_rules, 1);
    pthread_mutex_unlock(&lock);
    return rule->id;
}

static void forget(struct rule *rule)
{
    free(rule->volume);
    free(rule);
    atomic_fetch_sub(&active_rules, 1);
}

EXPORT int fake_gfapi_remove_rule(int id)
{
    int ret = -1;

    pthread_mutex_lock(&lock);
    for (struct rule **link = &newest; *link; link = &(*link)->older) {
        struct rule *rule = *link;

        if (rule->id != id)
            continue;
        *link = rule->older;
        forget(rule);
        ret = 0;
        break;
    }
    pthread_mutex_unlock(&lock);
    return ret;
}

EXPORT uint64_t fake_gfapi_rule_hits(int id)
{
    uint64_t n = 0;

    pthread_mutex_lock(&lock);
    for (struct rule *rule = newest; rule; rule = rule->older)
        if (rule->id == id)
            n = rule->hits;
    pthread_mutex_unlock(&lock);
    return n;
}

void faults_reset(void)
{
    pthread_mutex_lock(&lock);
    while (newest) {
        struct rule *rule = newest;

        newest = rule->older;
        forget(rule);
    }
    pthread_mutex_unlock(&lock);
}
