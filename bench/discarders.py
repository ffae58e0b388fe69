"""Servers that accept mail and throw it away, one process each: smtp-server and Haraka from npm, aiosmtpd from PyPI, and Ekiden.

What they need is fetched into .peers/ the first time, never into the system. Node.js comes from the machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench import servers
from tests.peers.certificates import make_certificate
from tests.peers.debian import NotHere
from tests.peers.process import Daemon, free_port, run

_PEERS = servers.BENCH.parent / ".peers"
_NPM = _PEERS / "npm"
_VENV = _PEERS / "aiosmtpd"
_NODE_SERVER = """
const { SMTPServer } = require('smtp-server');
const fs = require('fs');
const [port, certificate] = process.argv.slice(2);
const pem = fs.readFileSync(certificate);
const server = new SMTPServer({
  key: pem, cert: pem, authOptional: true, disabledCommands: ['AUTH'], disableReverseLookup: true, logger: false,
  onData(stream, session, done) { stream.on('end', done); stream.resume(); },
});
server.listen(Number(port), '127.0.0.1', 1024);
"""
_AIOSMTPD_SERVER = """
import asyncio, ssl, sys, uvloop
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

port, certificate = sys.argv[1:]
tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
tls.load_cert_chain(certificate)

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="mx.bench.test", tls_context=tls), "127.0.0.1", int(port), backlog=1024)
    await server.serve_forever()

uvloop.run(main())
"""
_HARAKA = {
    "me": "mx.bench.test\n",
    "plugins": "take_all\nqueue/discard\n",
    "loglevel": "ERROR\n",
}


def _node() -> str:
    found = shutil.which("node")
    if found is None:
        raise NotHere("needs Node.js")
    return found


def _npm(package: str) -> Path:
    """The folder of a package from npm. Raises NotHere."""
    folder = _NPM / "node_modules" / package
    if not (folder / "package.json").exists():
        npm = shutil.which("npm")
        if npm is None:
            raise NotHere("needs npm")
        _NPM.mkdir(parents=True, exist_ok=True)
        if not (_NPM / "package.json").exists():
            (_NPM / "package.json").write_text('{"private": true}\n')
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", package], cwd=_NPM, capture_output=True, text=True, timeout=400)
        if done.returncode:
            raise NotHere(f"npm could not install {package}")
    return folder


def _version(folder: Path) -> str:
    return str(json.loads((folder / "package.json").read_text())["version"])


class _Discarder:
    """One of them, running."""

    def __init__(self, name: str) -> None:
        self._folder = servers.fresh(name)
        _, _, self._pem = make_certificate(self._folder / "tls", "localhost", "mx.bench.test")
        self.port = free_port()
        self.label = name
        self.pid = 0

    def _start(self, words: list[str], **env: str) -> None:
        self._daemon = Daemon(self.label, words, log=self._folder / "log", env={**os.environ, **env}, cwd=self._folder)
        self._daemon.wait_port(self.port)
        self.pid = self._daemon.process.pid

    def count(self) -> int:
        """Nothing is kept."""
        return 0

    def stop(self) -> None:
        """End it."""
        self._daemon.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class SmtpServerNpm(_Discarder):
    """smtp-server of nodemailer: reads each message as a stream and lets it go."""

    def __init__(self) -> None:
        package = _npm("smtp-server")
        super().__init__("smtp-server")
        (self._folder / "server.js").write_text(_NODE_SERVER)
        self._start([_node(), "server.js", str(self.port), str(self._pem)], NODE_PATH=str(package.parent))
        self.label = f"smtp-server {_version(package)} (npm)"


class Haraka(_Discarder):
    """Haraka with queue/discard and a plugin that takes every recipient; nothing else, no worker processes."""

    def __init__(self) -> None:
        package = _npm("Haraka")
        super().__init__("haraka")
        config, plugins = self._folder / "config", self._folder / "plugins"
        config.mkdir()
        plugins.mkdir()
        (self._folder / "queue").mkdir()
        shutil.copy(package / "config" / "connection.ini", config)
        for name, text in _HARAKA.items():
            (config / name).write_text(text)
        (config / "smtp.ini").write_text(f"listen=127.0.0.1:{self.port}\nnodes=0\n")
        (plugins / "take_all.js").write_text("exports.hook_rcpt = (next) => next(OK)\n")
        self._start([_node(), str(package / "bin" / "haraka"), "-c", str(self._folder)], YES_REALLY_DO_DISCARD="1")
        self.label = f"Haraka {_version(package)} (queue/discard)"


class Aiosmtpd(_Discarder):
    """aiosmtpd with its Sink handler, on uvloop, which is faster than asyncio's own loop."""

    def __init__(self) -> None:
        python = _VENV / "bin" / "python"
        if not python.exists():
            run([sys.executable, "-m", "venv", _VENV], seconds=120)
        if subprocess.run([python, "-c", "import aiosmtpd, uvloop"], capture_output=True, check=False).returncode:
            run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "aiosmtpd", "uvloop"], seconds=300)
        super().__init__("aiosmtpd")
        (self._folder / "server.py").write_text(_AIOSMTPD_SERVER)
        self._start([str(python), "server.py", str(self.port), str(self._pem)])
        version = run([python, "-c", "import aiosmtpd; print(aiosmtpd.__version__)"]).stdout.decode().strip()
        self.label = f"aiosmtpd {version} (Sink, uvloop)"


class EkidenDiscards(servers.EkidenServer):
    """Ekiden with a policy that discards what comes for anybody (bench/discard.py)."""

    def __init__(self) -> None:
        super().__init__("ekiden-discard", settings={"EKIDEN_POLICIES": "discard.py:everything"})
        self.label += " (discards)"
