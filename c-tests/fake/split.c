/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of more than 16 MiB go to libgfapi in parts and come back as one. */
#include "on_fake.h"

enum { PART = 16 * MiB, LENGTH = 3 * PART + 4096, PARTS = 4 };

static struct img img;
static unsigned char *data;

static struct fake_rule nth(int op, int action, int err, int64_t arg, uint64_t number)
{
    struct fake_rule rule = {0};

    rule.op = op;
    rule.action = action;
    rule.err = err;
    rule.arg = arg;
    rule.nth = number;
    rule.times = 1;
    return rule;
}

static int run(bool write)
{
    if (!write)
        memset(data, 0xaa, LENGTH + 1);
    return write ? pwrite_sync(&img, data, LENGTH, 512) : pread_sync(&img, data, LENGTH, 512);
}

static bool right(void)
{
    return pattern_check(data, LENGTH, 1, 512) && data[LENGTH] == 0xaa;
}

/* The parts join without gap or overlap, and none is too large. */
static void whole(int op, uint64_t first)
{
    struct fake_trace part;
    uint64_t i, offset = 512;

    is(fake.trace_count() - first, PARTS, "as many parts as there have to be");
    for (i = first; i < fake.trace_count() && fake.trace_get(i, &part) == 0; i++) {
        if (part.op != op || part.offset != offset || part.length > PART)
            fail("part %d: op %d, offset %llu, %llu bytes", (int)i, part.op, (unsigned long long)part.offset,
                 (unsigned long long)part.length);
        offset += part.length;
    }
    is(offset, 512 + LENGTH, "they make up the whole");
}

static void in_parts(void)
{
    fake.set_trace(64);
    pattern_fill(data, LENGTH, 1, 512);
    is(run(true), 0, "a write of 48 MiB and 4 KiB");
    whole(FAKE_PWRITEV_ASYNC, 0);
    ok(run(false) == 0 && right(), "a read of it");
    whole(FAKE_PREADV_ASYNC, PARTS);
    is(fake_counted().max_bytes[FAKE_PWRITEV_ASYNC], PART, "no write was larger than 16 MiB");
    is(fake_counted().max_bytes[FAKE_PREADV_ASYNC], PART, "no read was larger than 16 MiB");
    fake.set_trace(0);
}

static void one_part_fails(bool write)
{
    int op = write ? FAKE_PWRITEV_ASYNC : FAKE_PREADV_ASYNC, part;
    const char *name = write ? "write" : "read";

    for (part = 1; part <= PARTS; part++) {
        struct fake_rule rule = nth(op, FAKE_FAIL, ENOSPC, 0, (uint64_t)part);

        fake.add_rule(&rule);
        is(run(write), -ENOSPC, "part %d of a %s fails", part, name);
        rule.action = FAKE_REFUSE;
        fake.add_rule(&rule);
        is(run(write), -ENOSPC, "part %d of a %s is refused by libgfapi", part, name);
        if (write) {
            rule = nth(op, FAKE_SHORT, 0, 1, (uint64_t)part);
            fake.add_rule(&rule);
            is(run(write), -EIO, "part %d of a write is short", part);
        }
    }
}

static void one_part_is_short(void)
{
    static const int64_t missing[] = {1, 4095, 4000};
    unsigned i;
    int part;

    for (part = 1; part <= PARTS; part++)
        for (i = 0; i < T_COUNT(missing); i++) {
            struct fake_rule rule = nth(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, missing[i], (uint64_t)part);

            fake.add_rule(&rule);
            ok(run(false) == 0 && right(), "part %d of a read is %d bytes short", part, (int)missing[i]);
        }
    for (part = 1; part <= PARTS; part++) {
        struct fake_rule rule = nth(FAKE_PREADV_ASYNC, FAKE_SHORT, 0, 100 * part, (uint64_t)part);

        fake.add_rule(&rule);
    }
    ok(run(false) == 0 && right(), "every part of a read is short");
}

/* No brick does this; if one did, no other part may suffer. */
static void one_part_claims_too_much(void)
{
    struct fake_rule rule = nth(FAKE_PREADV_ASYNC, FAKE_FORCE, 0, PART + 4096, 1);
    int ret;

    fake.add_rule(&rule);
    ret = run(false);
    ok(ret == -EIO || (ret == 0 && right()), "part 1 of a read claims more than it was asked for");
}

static void the_end_within(void)
{
    int64_t end = PART + 5000;

    is(img.drv->truncate(&img.bs, end, NULL), 0, "the image ends within part 2");
    ok(run(false) == 0 && pattern_check(data, (size_t)(end - 512), 1, 512) &&
           all_bytes(data + end - 512, (size_t)(LENGTH - end + 512), 0) && data[LENGTH] == 0xaa,
       "zeros from there on, in every part");
    is(img.drv->truncate(&img.bs, 512 + LENGTH, NULL), 0, "truncated to its length");
}

/* The buffers are in use until the last part is done: so is the request, also when another part has failed. */
static void waits_for_every_part(void)
{
    struct fake_rule rule = nth(FAKE_PREADV_ASYNC, FAKE_REFUSE, EIO, 0, 2);
    struct io io = {0};
    int part;

    fake.set_mode(FAKE_HELD, 0);
    fake.add_rule(&rule);
    ok(io_pread(&io, &img, data, LENGTH, 512), "a read of which a part is refused is accepted");
    for (part = 1; part < PARTS; part++) {
        run_for(0.02);
        is(io.done, 0, "its callback waits for part %d of the others", part);
        is(fake.release(FAKE_ANY_ASYNC, 1, FAKE_AS_IS), 1, "which is done now");
    }
    is(io_wait(&io), -EIO, "its callback has come with the error");
    fake.set_mode(FAKE_THREAD, 0);
}

static void discard_in_parts(int64_t offset, int64_t length, uint64_t most, const char *what)
{
    int64_t end = offset + length, size = img.drv->getlength(&img.bs);
    struct fake_trace part;
    uint64_t i, parts = 0;

    fake.set_trace(256);
    is(discard_sync(&img, length, offset), 0, "a discard of %s", what);
    for (i = 0; fake.trace_get(i, &part) == 0; i++) {
        /* Asking for the length ends with a look at the first byte. */
        if (part.op == FAKE_PREAD && part.length == 1)
            continue;
        parts++;
        if (part.op != FAKE_DISCARD_ASYNC || part.offset != (uint64_t)offset)
            fail("part %d at %llu of %llu bytes", (int)i, (unsigned long long)part.offset,
                 (unsigned long long)part.length);
        offset += (int64_t)part.length;
    }
    ok(parts > 1 && parts <= most, "... in %d parts, at most %d", (int)parts, (int)most);
    is(offset, end < size ? end : size, "... that make up the whole, up to the end of the image");
    is(img.drv->getlength(&img.bs), size, "... which does not grow");
    fake.set_trace(0);
}

static void large_discards(void)
{
    struct fake_rule second = nth(FAKE_DISCARD_ASYNC, FAKE_FAIL, ENOTCONN, 0, 2);

    is(img.drv->truncate(&img.bs, INT64_C(4) << 40, NULL), 0, "an image of 4 TiB");
    discard_in_parts(4096, INT64_C(5) << 29, 3, "2.5 GiB");
    discard_in_parts(512, INT64_C(3) << 40, 64, "3 TiB");
    discard_in_parts(INT64_C(3) << 40, INT64_C(3) << 40, 64, "3 TiB across the end");
    fake.add_rule(&second);
    is(discard_sync(&img, INT64_C(5) << 29, 0), -ENOTCONN, "one part of a discard fails");
    is(img.drv->truncate(&img.bs, 512 + LENGTH, NULL), 0, "the length from before");
}

int main(void)
{
    static const int modes[] = {FAKE_THREAD, FAKE_INLINE};
    unsigned mode;

    fake_begin("requests beyond 16 MiB: parts that join, one callback, one result");
    data = t_alloc(LENGTH + 1);
    fake_open(&img, "split", 0);
    in_parts();
    one_part_claims_too_much();
    for (mode = 0; mode < T_COUNT(modes); mode++) {
        fake.set_mode(modes[mode], 0);
        pattern_fill(data, LENGTH, 1, 512);
        one_part_fails(true);
        is(run(true), 0, "a whole write");
        one_part_fails(false);
        one_part_is_short();
    }
    fake.set_mode(FAKE_THREAD, 0);
    the_end_within();
    waits_for_every_part();
    large_discards();
    img_close(&img);
    free(data);
    return fake_end();
}
