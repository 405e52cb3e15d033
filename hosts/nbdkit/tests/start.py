#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What nbdkit says when it starts: bad input ends it at once, with its own "error:" and the driver's sentence, also
when it was to go into the background; good input serves the image, however it is named."""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from harness import (MiB, PLUGIN, SERVER, SOCKET, SPY, Server, WITNESS, brick, connect, end, equal, image, ok, pattern,
                     run, sha, uri, wait_until, work, write_file)


def daemon(*words):
    """nbdkit as a daemon. Its exit code before it is one, what it said, and the daemon's pid or None."""
    pidfile, socket = f"{work}/daemon.pid", f"{work}/daemon.sock"
    for path in (pidfile, socket):
        if os.path.exists(path):
            os.unlink(path)
    done = run("nbdkit", "-U", socket, "-P", pidfile, PLUGIN, *words)
    pid = None
    if done.returncode == 0 and wait_until(30, lambda: os.path.exists(pidfile) and os.path.getsize(pidfile)):
        with open(pidfile) as file:
            pid = int(file.read())
    return done.returncode, done.stdout, pid


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie whose parent, PID 1 of many containers, reaps nobody.
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"


def stop_daemon(pid):
    os.kill(pid, signal.SIGTERM)
    if not wait_until(30, lambda: gone(pid)):
        os.kill(pid, signal.SIGKILL)
        return False
    return True


def bad_input():
    exists = image("plain", "nbd-exists.img")
    none = image("plain", "nbd-none.img")
    with Server("plain", exists, "create=2M"):
        pass
    before = sha(brick("plain", exists))
    for text, words, sentences in (
        ("a wrong volume", [uri("nosuch", "a.img")], ["knows no volume 'nosuch'"]),
        ("a missing image", [uri("plain", none)], ["cannot open image", "there is no such image"]),
        ("a missing directory", [uri("plain", "nodir/a.img"), "create=1M"],
         ["cannot create image", "no such directory"]),
        ("a dead server", ["gluster://127.77.0.99/plain/a.img"], ["no glusterd answers there"]),
        ("another scheme", ["uri=iscsi://127.77.0.1/plain/a.img"], ["not a Gluster URI", "Usage: gluster["]),
        ("no scheme", ["a.img"], ["not a Gluster URI"]),
        ("a bad port", [f"gluster://{SERVER}:port/plain/a.img"], ["a port is a decimal number"]),
        ("an unknown part of the query", [uri("plain", "a.img?cache=1")], ["not a Gluster URI"]),
        ("a size that is none", [uri("plain", none), "create=large"],
         ["could not parse size", "create takes the size of the image"]),
        ("a negative size", [uri("plain", none), "create=-1"], ["create takes the size of the image"]),
        ("a size beyond all bounds", [uri("plain", none), "create=5P"], ["more than an image can have"]),
        ("create= of another size", [uri("plain", exists), "create=1M"],
         ["exists and has 2097152 bytes, not the 1048576 of create="]),
        ("an unknown parameter", [uri("plain", exists), "cache=on"], ["unknown option 'cache'; known are"]),
        ("a parameter given twice", [uri("plain", exists), "uri=x"], ["option 'filename' is given twice"]),
        ("URI and parts", [uri("plain", exists), "volume=plain"], ["give the URI or the parts"]),
        ("a server that is no host", [f"server={SERVER}/nosuch", "volume=plain", "path=a.img"],
         ["server.0: host '127.77.0.1/nosuch'"]),
        ("half a bracket", ["server=[::1", "volume=plain", "path=a.img"], ["server.0: host '[::1'"]),
        ("a bad port in IPv6", ["server=[::1]:x", "volume=plain", "path=a.img"], ["port takes a number"]),
        ("what follows a bracket", ["server=[::1]1", "volume=plain", "path=a.img"], ["server.0: host '[::1]1'"]),
        ("a dead server, IPv6", ["server=[::1]:1", "volume=plain", "path=a.img"], ["no glusterd answers there"]),
        ("the same, no brackets", ["server=::1", "volume=plain", "path=a.img"], ["no glusterd answers there"]),
        ("no server: localhost", ["volume=plain", "path=a.img"], ["localhost"]),
        ("a part only", ["volume=plain"], ["which image?"]),
        ("nothing", [], ["which image?"]),
        ("a bad truth value", [uri("plain", exists), "readonly=maybe"], ["could not decipher boolean"]),
        ("a bad write-cache", [uri("plain", exists), "write-cache=maybe"],
         ["write-cache takes on or off, not 'maybe'"]),
        ("a bad locking", [uri("plain", exists), "locking=maybe"], ["locking takes on, auto or off, not 'maybe'"]),
        ("sharing without a lock", [uri("plain", exists), "share-rw=on"], ["needs locking=on or locking=auto"]),
        ("a bad timeout", [uri("plain", exists), "connect-timeout=0"], ["connect-timeout takes a number of seconds"]),
    ):
        code, said, pid = daemon(*words)
        if pid:
            stop_daemon(pid)
        good = code == 1 and all(part in said for part in sentences)
        ok(good and said.startswith("nbdkit: error: ") and len(said) < 1200, f"{text} is refused with a sentence",
           f"exit code {code}: {said}")
    equal(run(WITNESS, "plain", "exists", none).returncode, 2, "no image was made by these")
    equal(sha(brick("plain", exists)), before, "no image was changed by these")


def names():
    """The same image by URI, by its parts and through the Unix socket; a path with everything that URIs encode."""
    path = image("plain", "nbd name%3f#ä?.img")
    data = pattern(MiB, 5)
    code, said, pid = daemon("volume=plain", f"path={path}", f"server={SERVER}", "create=1048000")
    if not ok(code == 0 and pid, "in the background, by volume, path and server", said):
        return
    nbd_uri = f"nbd+unix:///?socket={work}/daemon.sock"
    equal(run("nbdinfo", "--size", nbd_uri).stdout.strip(), "1048064", "a size in whole sectors")
    ok("nbd name%3f#ä?.img of volume plain" in run("nbdinfo", nbd_uri).stdout, "its description names it")
    with open(f"{work}/data", "wb") as file:
        file.write(data[:1048064])
    equal(run("nbdcopy", f"{work}/data", nbd_uri).returncode, 0, "written")
    ok(stop_daemon(pid), "SIGTERM ends it")
    for parts in (["volume=plain", f"path={path}", f"server={SOCKET}"],
                  ["volume=plain", f"path=/{path}", f"server={SERVER}:24007", "create=1048000"],
                  ["volume=plain", f"path={path}", "server=127.77.0.99", f"server={SERVER}"],
                  ["volume=plain", f"path={path}", "server.0.type=inet", f"server.0.host={SERVER}", "ping-timeout=20"],
                  [uri("plain", "nbd%20name%253f%23%C3%A4%3F.img"), "write-cache=on", "keep-connection=0",
                   "connect-timeout=20"],
                  [uri("plain", "nbd%20name%253f%23%C3%A4%3F.img").replace("gluster:", "gluster+tcp:")]):
        copy = run("nbdkit", "-U", "-", PLUGIN, *parts, "--run", f"nbdcopy $uri {work}/copy && echo copied")
        ok("copied" in copy.stdout and sha(f"{work}/copy") == sha(f"{work}/data"), f"read as {parts}", copy.stdout)
        os.unlink(f"{work}/copy")
    rdma = uri("plain", "nbd%20name%253f%23%C3%A4%3F.img").replace("gluster:", "gluster+rdma:")
    said = run("nbdkit", "-U", "-", PLUGIN, rdma, "--run", "nbdinfo --size $uri").stdout
    ok("1048064" in said and "nbdkit: error: warning: " in said, "a warning is told as one", said)


def texts():
    dump = run("nbdkit", PLUGIN, "--dump-plugin").stdout.splitlines()
    wanted = {"name=gluster", "thread_model=parallel", "max_thread_model=parallel", "magic_config_key=uri",
              "blkgluster_abi_version=1", "gluster_scheme_3=gluster", "gluster_option_locking=off|auto|on",
              "gluster_option_connect-timeout=1-3600", "gluster_option_server.N.host=string"}
    ok(wanted <= set(dump), "--dump-plugin", f"lacks {wanted - set(dump)}")
    ok(any(line.startswith("blkgluster_version=1.") for line in dump), "... with the library's version")
    said = run("nbdkit", PLUGIN, "--help").stdout
    known = ("[uri=]", "volume=", "path=", "server=", "create=", "readonly=", "locking=", "share-rw=", "write-cache=", "connect-timeout=",
             "keep-connection=")
    missing = [key for key in known if f"\n{key}<" not in said]
    equal(missing, [], "--help explains every parameter")


def racing():
    """Two servers are started with create= at the same time: the image is made once, and nobody's data is lost."""
    path = image("plain", "nbd-race.img")
    data = write_file("race", pattern(MiB, 6))
    other = f"nbdkit -U - {PLUGIN} {uri('plain', path)} create=1M --run 'nbdcopy {data} \"$uri\"'"
    hook = {"LD_PRELOAD": SPY, "SPY_BEFORE_CREAT": other}
    with Server("plain", path, "create=1M", env=hook) as server:
        equal(run("nbdcopy", server.uri, f"{work}/race-back").returncode, 0, "one that was made just before")
        equal(sha(f"{work}/race-back"), sha(data), "... keeps what was written meanwhile")
    image("plain", path)
    done = run("nbdkit", "-U", "-", PLUGIN, uri("plain", path), "create=2M", "--run", "true",
               env=dict(os.environ, **hook))
    ok(done.returncode == 1 and "exists and has 1048576 bytes" in done.stdout, "... also where sizes differ", done.stdout)
    equal(sha(brick("plain", path)), sha(data), "... and keeps its data then, too")

    run(WITNESS, "plain", "create", path)
    timer = threading.Timer(1, os.truncate, (brick("plain", path), MiB))
    timer.start()
    code, said, pid = daemon(uri("plain", path), "create=1M")
    timer.join()
    if pid:
        stop_daemon(pid)
    equal((code, said), (0, ""), "one that has no size yet is waited for")


def qemu_img():
    """Whether QEMU's is installed."""
    return shutil.which("qemu-img") is not None


def commands():
    """Of README.md's "Use" here and of the library's README: each with what stands there for what is here."""
    here = (Path(__file__).resolve().parents[1] / "README.md").read_text().split("## Use")[1].split("```")[1]
    script = Path(__file__).resolve().parents[3] / "scripts/readme-example"
    there = run("python3", script, "nbdkit").stdout
    for lines, least in ((here.strip().splitlines(), 7), (there.strip().splitlines(), 6)):
        ok(len(lines) >= least, "the README has commands", lines)
        yield from (line for line in lines if "qemu-img" not in line or qemu_img())


def readme():
    """The commands of both READMEs do what they say."""
    path = image("plain", "nbd-readme.img")
    disk = f"{work}/disk.raw"
    with open(disk, "wb") as file:
        file.write(pattern(MiB, 8))
    with Server("plain", path, "create=1M"):
        pass
    for number, line in enumerate(commands()):
        command = line.split("  #")[0]
        for old, new in ((" gluster ", f" {PLUGIN} "), ("gluster://server/volume/image", uri("plain", path)),
                         ("gluster://server1/vol1/disk.img", uri("plain", path)),
                         ("volume=vol path=dir/image server=server", f"volume=plain path={path} server={SERVER}"),
                         ("volume=vol1 path=disk.img server=server1 server=server2",
                          f"volume=plain path={path} server={SERVER} server={SERVER[:-1]}2"),
                         ("create=10G", "create=1M"), ("create=1G", "create=1M"), ("copy.raw", f"{work}/copy.raw"),
                         ("/run/image.sock", f"{work}/readme{number}.sock"),
                         ("/run/disk.sock", f"{work}/readme{number}.sock"),
                         ("disk.raw", disk)):
            command = command.replace(old, new)
        pidfile = f"{work}/readme{number}.pid"
        done = run("bash", "-c", command.replace("nbdkit ", f"nbdkit -P {pidfile} ", 1))
        ok(done.returncode == 0, line, done.stdout)
        if "--run" not in command:
            ok(wait_until(30, lambda: os.path.exists(pidfile) and os.path.getsize(pidfile)), "... is there")
            with open(pidfile) as file:
                ok(stop_daemon(int(file.read())), "... and ends")
    equal(sha(brick("plain", path)), sha(disk), "nbdcopy's copy is in the image")
    equal(sha(f"{work}/copy.raw"), sha(disk), "... and comes out of it")


def locks():
    """With locking=on, whoever comes second does not get the image while the first one's clients use it."""
    path = image("rep3", "nbd-locked.img")
    where = uri("rep3", path)
    alone, shared = ["locking=on"], ["locking=on", "share-rw=on"]

    def starts(*words):
        code, said, pid = daemon(where, *words)
        if pid:
            stop_daemon(pid)
        return code, said

    with Server("rep3", path, "create=1M", *alone) as first, Server("rep3", path, *alone) as second:
        client = connect(first)
        for words in (alone, [*alone, "readonly=true"], [*alone, "create=1M"]):
            code, said = starts(*words)
            ok(code == 1 and f"image {where} is locked (EBUSY): another one has it open" in said,
               f"a second server is refused: {' '.join(words)}", f"exit code {code}: {said}")
        equal(starts()[0], 0, "... one that does not ask is not")
        ok(run("nbdinfo", second.uri).returncode != 0, "a server that was there turns its clients away")
        ok("is locked (EBUSY)" in second.said(), "... and its log says why", second.said())
        client.pwrite(b"still here", 0)
        equal(bytes(connect(first).pread(10, 0)), b"still here", "the first one's clients go on, old and new")
        client.shutdown()
        ok(wait_until(30, lambda: run("nbdinfo", second.uri).returncode == 0), "when they have left, others' may come")
        equal(starts(*alone)[0], 0, "... and a second server starts")

    path = image("rep3", "nbd-shared.img")
    with Server("rep3", path, "create=1M", *shared) as first, Server("rep3", path, *shared) as second:
        one, other = connect(first), connect(second)
        one.pwrite(b"shared", 4096)
        equal(bytes(other.pread(6, 4096)), b"shared", "share-rw=on on both: both serve it")
        where = uri("rep3", path)
        code, said = starts(*alone)
        ok(code == 1 and "is locked (EBUSY)" in said, "... and one that does not share is refused", said)
        for handle in (one, other):
            handle.shutdown()


def may_only_be_read():
    """With auto-read-only=on, who may not write the image serves it for reading, and clients hear of it."""
    path = image("plain", "nbd-not-ours.img")
    with Server("plain", path, "create=1M") as server:
        handle = connect(server)
        equal(handle.is_read_only(), False, "who may write it says so")
        handle.shutdown()
    os.chmod(brick("plain", path), 0o644)
    os.chmod(work, 0o777)  # for the pid file, which comes after the change of user
    with Server("plain", path, "auto-read-only=on", options=("-u", "nobody")) as server:
        handle = connect(server)
        equal(handle.is_read_only(), True, "a user who may not does not")
        equal(bytes(handle.pread(4, 0)), bytes(4), "... and serves it")
        handle.shutdown()
        ok("error: warning: image " in server.said(), "... with a warning", server.said())
    os.chmod(work, 0o700)


def gone_later():
    """An image that is taken away while the server has no client: the client is told, the server lives on."""
    path = image("plain", "nbd-later.img")
    with Server("plain", path, "create=1M") as server:
        run(WITNESS, "plain", "unlink", path)
        ok(run("nbdinfo", server.uri).returncode != 0, "a client is turned away when its image is gone")
        ok("cannot open image" in server.said(), "... and the log says why", server.said())
        ok(run(WITNESS, "plain", "create", path).returncode == 0, "it comes back, empty")
        equal(run("nbdinfo", "--size", server.uri).stdout.strip(), "0", "... and is served")


bad_input()
names()
texts()
readme()
racing()
locks()
may_only_be_read()
gone_later()
sys.exit(end())
