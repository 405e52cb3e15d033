# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's archive, sources included, beside apt's own lists: deb-src lines are rarely configured,
and nobody's configuration is touched. Lists and downloads stay in the build tree."""

import re

from .tools import WORK, Unavailable, output, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# QEMU's major version -> where Debian keeps it.
SUITES = {
    7: ("bookworm bookworm-updates", "bookworm-security"),
    10: ("trixie trixie-updates bookworm-backports", "trixie-security"),
}


class Archive:
    def __init__(self, major):
        if major not in SUITES:
            raise Unavailable(f"only QEMU 7.2 and 10.0 of Debian are known here, not {major}")
        self.suites = SUITES[major]
        self.where = WORK / f"apt-{major}"
        self.options = [
            "-q",
            "-o", f"Dir::Etc::sourcelist={self.where}/debian.sources",
            "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", f"Dir::State::lists={self.where}/lists",
            "-o", f"Dir::Cache={self.where}/cache",
            "-o", "APT::Sandbox::User=root",  # apt's own user may not write here
            "-o", "Acquire::Retries=3",
            "-o", "Dir::Cache::pkgcache=",
            "-o", "Dir::Cache::srcpkgcache=",
        ]  # fmt: skip

    @staticmethod
    def _mirrors():
        """The ones that this machine uses."""
        main, security = "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"
        listed = output("apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)")
        for line in listed.splitlines():
            uri, _, origin = line.partition(" ")
            if origin == "Debian Debian":
                main = uri
            elif origin == "Debian Debian-Security":
                security = uri
        return main, security

    def update(self):
        for folder in ("lists/partial", "cache/archives/partial"):
            (self.where / folder).mkdir(parents=True, exist_ok=True)
        text = ""
        for mirror, suites in zip(self._mirrors(), self.suites):
            text += f"Types: deb deb-src\nURIs: {mirror}\nSuites: {suites}\n"
            text += f"Components: main\nSigned-By: {KEYRING}\n\n"
        (self.where / "debian.sources").write_text(text)
        say(f"asking Debian for its lists of {' '.join(self.suites)}")
        output("apt-get", *self.options, "update")

    def _known(self):
        return (self.where / "debian.sources").exists()

    def _try(self, command, folder):
        """Lists that are there may do; a new QEMU needs new ones."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._known():
            try:
                return output("apt-get", *self.options, *command, cwd=folder)
            except Unavailable:
                pass
        self.update()
        return output("apt-get", *self.options, *command, cwd=folder)

    def binary(self, package, version, folder):
        self._try(["download", f"{package}={version}"], folder)

    def source(self, version, folder):
        self._try(["--download-only", "source", f"qemu={version}"], folder)

    def sources(self):
        """The versions of the source package that are listed."""
        if not self._known():
            self.update()
        text = output("apt-cache", *self.options, "showsrc", "--only-source", "qemu")
        return re.findall(r"^Version: (\S+)$", text, re.M)
