"""Debian packages unpacked into .peers/, with the shared libraries that this machine lacks.

`fetch("postfix")` asks apt (with lists, cache and state of its own below .peers, so that neither root nor a fresh
system list is needed), downloads what is missing and unpacks it with dpkg-deb into .peers/trees/NAME. Nothing is
installed, no package script runs. A tree is made once and kept until .peers is removed (`make clean`). Two test
processes may ask at once: a lock file per tree lets one of them work.

Raises NotHere, with the reason in one line, where this machine cannot do it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PEERS = Path(os.environ.get("EKIDEN_PEERS_DIR") or PROJECT / ".peers")
FORMAT = 3  # grows when trees made by an older version of this file no longer fit
LISTS_HOURS = 20  # package lists older than this are renewed before they are used

# Parts of the base system: a second copy of them would not fit the loader that is running.
_NEVER = frozenset({"libc6", "libc-bin", "libgcc-s1", "gcc-12-base", "debconf", "adduser", "passwd", "ucf", "cpio", "systemd"})
_URI = re.compile(r"'[^']+' ([^ ]+_[^ ]+\.deb) [0-9]+ ")


class NotHere(Exception):
    """This machine cannot provide the peer; the text says why."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One peer's files as they lie in its packages, below `root`."""

    root: Path
    versions: Mapping[str, str]  # package → version, of all that was unpacked

    def program(self, name: str) -> Path:
        """The path of an executable, searched as a shell would in the tree."""
        for folder in ("usr/bin", "usr/sbin", "bin", "sbin"):
            found = self.root / folder / name
            if found.exists():
                return found
        raise NotHere(f"{name} is not in the packages that were unpacked")

    def environment(self) -> dict[str, str]:
        """os.environ with the search paths of programs, libraries and Perl modules led to the tree first."""
        arch = multiarch()
        libraries = [self.root / "usr/lib" / arch, self.root / "lib" / arch, self.root / "usr/lib"]
        perl = [
            *sorted((self.root / "usr/lib" / arch / "perl5").glob("*")),
            self.root / "usr/lib" / arch / "perl-base",
            self.root / "usr/share/perl5",
            *sorted((self.root / "usr/share/perl").glob("*")),
            *sorted((self.root / "usr/lib" / arch / "perl").glob("*")),
        ]
        env = dict(os.environ)
        for name, folders in (
            ("PATH", [self.root / f for f in ("usr/bin", "usr/sbin", "bin", "sbin")]),
            ("LD_LIBRARY_PATH", libraries),
            ("PERL5LIB", perl),
        ):
            there = [str(f) for f in folders if f.is_dir()]
            if name in env:
                there.append(env[name])
            if there:
                env[name] = ":".join(there)
        env["SASL_PATH"] = f"{self.root}/usr/lib/{arch}/sasl2:/usr/lib/{arch}/sasl2"
        env["LC_ALL"] = "C.UTF-8"
        return env


def multiarch() -> str:
    """Debian's name of this machine's library folder, as in /usr/lib/x86_64-linux-gnu."""
    return {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}.get(os.uname().machine, f"{os.uname().machine}-linux-gnu")


def fetch(name: str, *packages: str) -> Tree:
    """The tree of a peer: `packages` (default: the package called `name`) and all they need beyond this system."""
    wanted = list(packages) or [name]
    root = PEERS / "trees" / name
    made = _manifest(root, wanted)
    if made is None:
        PEERS.mkdir(parents=True, exist_ok=True)
        with locked(PEERS / f"{name}.lock"):
            made = _manifest(root, wanted)  # the other process may have made it while we waited
            if made is None:
                made = _unpack(root, wanted)
    return Tree(root, made)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, between processes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _manifest(root: Path, wanted: Sequence[str]) -> Mapping[str, str] | None:
    try:
        written = json.loads((root / "manifest.json").read_text())
    except (OSError, ValueError):
        return None
    if written.get("format") != FORMAT or written.get("wanted") != list(wanted):
        return None
    versions: dict[str, str] = written["versions"]
    return versions


def _unpack(root: Path, wanted: Sequence[str]) -> Mapping[str, str]:
    debs = _download(wanted)
    new = root.with_name(root.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    for folder in ("bin", "sbin", "lib"):  # as on a system with merged /usr
        (new / "usr" / folder).mkdir(parents=True)
        (new / folder).symlink_to(f"usr/{folder}")
    versions = {}
    for deb in debs:
        package, version, _ = deb.stem.split("_")
        versions[package] = version.replace("%3a", ":")
        _run(["dpkg-deb", "--fsys-tarfile", str(deb)], ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(new)])
    (new / "manifest.json").write_text(json.dumps({"format": FORMAT, "wanted": list(wanted), "versions": versions}, indent=1))
    shutil.rmtree(root, ignore_errors=True)
    new.rename(root)
    return versions


def _download(wanted: Sequence[str]) -> list[Path]:
    """The .deb files of the packages and of their dependencies that this system does not have."""
    for program in ("apt-get", "dpkg-deb", "tar"):
        if shutil.which(program) is None:
            raise NotHere(f"needs Debian's packages, and there is no {program} here")
    with locked(PEERS / "apt.lock"):
        options = _apt_options()
        _renew_lists(options)
        ask = ["apt-get", *options, "-y", "--no-install-recommends", "--reinstall", "install"]
        listed = _run([*ask, "--print-uris", "-o", f"Dir::Cache::archives={PEERS}/apt/none", *wanted])
        files = [found.group(1) for found in _URI.finditer(listed)]
        needed = [file for file in files if file.split("_")[0] not in _NEVER]
        archives = PEERS / "apt" / "archives"
        names = [f"{package}={version.replace('%3a', ':')}" for package, version, _ in (file.split("_") for file in needed)]
        if not names:
            raise NotHere(f"apt knows no package {' '.join(wanted)}")
        missing = [spec for spec, file in zip(names, needed, strict=True) if not (archives / file).exists()]
        if missing:
            _run(["apt-get", *options, "-q", "download", *missing], cwd=archives)
        return [archives / file for file in needed]


def _apt_options() -> list[str]:
    """Options that keep apt away from the system's state: own lists, own cache, the system's sources and installed set."""
    base = PEERS / "apt"
    for folder in ("lists/partial", "archives/partial", "none/partial"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    return [
        "-o",
        f"Dir::State::lists={base}/lists",
        "-o",
        f"Dir::Cache={base}",
        "-o",
        "Dir::Cache::archives=archives",
        "-o",
        f"Dir::State::extended_states={base}/extended_states",
        "-o",
        "Dir::State::status=/var/lib/dpkg/status",
        "-o",
        f"Dir::Etc::sourcelist={_sources(base)}",
        "-o",
        "Dir::Etc::sourceparts=/dev/null",
        "-o",
        "APT::Sandbox::User=",
        "-o",
        "Debug::NoLocking=true",
        "-o",
        "Acquire::Languages=none",
        "-o",
        "Acquire::Retries=3",
        "-o",
        "APT::Get::AllowUnauthenticated=false",
        "-o",
        "Acquire::GzipIndexes=false",
    ]


def _sources(base: Path) -> Path:
    """One source list from the system's, without the archives of other vendors: none of their packages is wanted."""
    etc = Path("/etc/apt")
    stanzas = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        with contextlib.suppress(OSError):
            text = path.read_text()
            if path.suffix == ".list":
                stanzas += [_as_stanza(line) for line in text.splitlines() if line.startswith("deb ")]
            elif path.suffix == ".sources":
                stanzas += re.split(r"\n\s*\n", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    own = [s.strip() for s in stanzas if re.search(r"(?im)^URIs:.*(debian|ubuntu)", s)]
    file = base / "ekiden.sources"
    file.write_text("\n\n".join(own) + "\n")
    return file


def _as_stanza(line: str) -> str:
    """A one-line source in the form of several lines, which apt 1.1 and newer read."""
    found = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)", line)
    if found is None:
        return ""
    options, uri, suite, components = found.groups()
    signed = re.search(r"signed-by=(\S+)", options or "")
    return "\n".join(
        [
            "Types: deb",
            f"URIs: {uri}",
            f"Suites: {suite}",
            f"Components: {components}",
            *([f"Signed-By: {signed.group(1)}"] if signed else []),
        ]
    )


def _renew_lists(options: Sequence[str]) -> None:
    stamp = PEERS / "apt" / "renewed"
    if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_HOURS * 3600:
        return
    _run(["apt-get", *options, "-q", "update"])
    stamp.touch()


def _run(*commands: Sequence[str], cwd: Path | None = None) -> str:
    """Run one command, or two with a pipe between them; its output. Raises NotHere with its last line of complaint."""
    text = b""
    for command in commands:
        try:
            done = subprocess.run(
                list(command),
                cwd=cwd,
                input=text,
                capture_output=True,
                timeout=300,
                check=False,
                env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
            )
        except subprocess.TimeoutExpired:
            raise NotHere(f"{command[0]} took over five minutes") from None
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
            raise NotHere(f"{command[0]}: {said[-1]}")
        text = done.stdout
    return text.decode("utf-8", "replace")
