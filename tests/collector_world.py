"""A fleet in a box for the tests of the collector: devices that seal and sign, a private PostgreSQL, processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import SigningKey
from safelight.reporting.record import HashRecord
from safelight.reporting.wire import pseudonym_of, seal_record, sign_record, sign_rotation

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "collector" / "src"
OPERATOR = "operator-token-of-the-tests-0123456789"
#: Far longer than anything takes; a test that meets it has found a hang.
PATIENCE_S = 60.0


def fast_folder() -> Path | None:
    """A folder in memory with room for a database, if there is one; every commit waits for the disk elsewhere."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30:
        return memory
    return None


@dataclass
class Device:
    """One device in one epoch."""

    sealing_key: bytes
    signing: SigningKey = field(default_factory=SigningKey.generate)

    @property
    def public_key(self) -> bytes:
        return bytes(self.signing.verify_key)

    @property
    def pseudonym(self) -> str:
        return pseudonym_of(self.public_key)

    def record(self, record_id: str | None = None, **changes: Any) -> dict[str, str]:
        """A list match, sealed and signed, as it stands in a request."""
        record_id = record_id or secrets.token_hex(16)
        values: dict[str, Any] = {
            "id": record_id,
            "pseudonym": self.pseudonym,
            "made_by": "list_match",
            "category": "known_material",
            "day": "2026-11-22",
            "action": "HOLD",
            "policy": "default",
            "list_id": "list-1",
            "entry_id": 7,
            "distance": 3,
        }
        return self.seal(record_id, seal_record(HashRecord(**{**values, **changes}), self.sealing_key))

    def seal(self, record_id: str, sealed: bytes) -> dict[str, str]:
        """Any bytes in the place of a sealed record, rightly signed."""
        signature = sign_record(self.signing, record_id, sealed)
        return {"id": record_id, "sealed": b64encode(sealed).decode(), "signature": b64encode(signature).decode()}

    def batch(self, records: Sequence[dict[str, str]]) -> dict[str, Any]:
        return {"pseudonym": self.pseudonym, "records": list(records)}

    def enrolment(self, token: str) -> dict[str, str]:
        return {"enrolment": token, "public_key": b64encode(self.public_key).decode()}

    def rotation(self, to: Device) -> dict[str, str]:
        return {
            "pseudonym": self.pseudonym,
            "public_key": b64encode(to.public_key).decode(),
            "signature": b64encode(sign_rotation(self.signing, to.public_key)).decode(),
        }


def postgres_programs() -> Path | None:
    """Where ``initdb`` and ``pg_ctl`` are; Debian keeps them off the PATH."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


class Postgres:
    """A private server on a Unix socket in a folder of its own, run by a user who is not root."""

    def __init__(self, programs: Path, *, where: Path | None = None, settings: str = "-c shared_buffers=64MB") -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="slpg-", dir=where or fast_folder()))
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._call("initdb", "-D", "data", "-U", "collector", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._settings = f"-k {self.folder} -c listen_addresses='' -c max_connections=120 {settings}"
        self.start()

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [*self._as_user, str(self._programs / program), *arguments],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.folder)},
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            check=True,
            timeout=PATIENCE_S,
        )

    def start(self) -> None:
        self._call("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", self._settings, "start")

    def stop(self, mode: str = "fast") -> None:
        """``immediate`` is a crash: no checkpoint, recovery from the log at the next start."""
        self._call("pg_ctl", "-D", "data", "-w", "-m", mode, "stop")

    def url(self, database: str) -> str:
        return f"postgresql://collector@/{database}?host={self.folder}"

    def execute(self, statement: str) -> list[Any]:
        import psycopg

        with psycopg.connect(f"host={self.folder} user=collector dbname=postgres", autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template1") -> str:
        name = f"t{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def close(self) -> None:
        with contextlib.suppress(subprocess.SubprocessError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder that goes away again, in memory where there is such a place."""
    with tempfile.TemporaryDirectory(prefix="slc-", dir=fast_folder()) as name:
        yield Path(name)


def environment(folder: Path, database_url: str | None, sealing: PrivateKey, **settings: object) -> dict[str, str]:
    """What a collector's process is told."""
    values = {
        "DIR": str(folder),
        "SEALING_KEY": f"x25519-secret:{bytes(sealing).hex()}",
        "OPERATOR_TOKEN": OPERATOR,
        **({"DATABASE_URL": database_url} if database_url else {}),
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    return {f"SAFELIGHT_COLLECTOR_{name}": value for name, value in values.items()}


class CollectorProcess:
    """``safelight-collector serve`` as an operator starts it; kill any of its processes at will."""

    def __init__(self, environ: dict[str, str], *, workers: int = 1, log: Path | None = None) -> None:
        # The first start takes a free port; a restart takes the same one again.
        self.port = 0
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ},
            "PYTHONPATH": os.pathsep.join((str(SOURCE), str(ROOT / "sdk"))),
            **environ,
        }
        self._workers, self._log = workers, log
        self.start()

    def start(self) -> None:
        log = open(self._log, "ab") if self._log else None  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "safelight_collector", "serve", "--json"),
                *("--port", str(self.port), "--workers", str(self._workers)),
            ],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=log or subprocess.DEVNULL,
            start_new_session=True,
        )
        if log:
            log.close()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the collector did not start; give it a log to see why"
        host, _, port = json.loads(line)["listening"].rpartition(":")
        assert host == "127.0.0.1"
        assert self.port in (0, int(port))
        self.port = int(port)
        self.wait()

    def wait(self) -> None:
        """Until it answers that records could be stored."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/ready")[0] == 200:
                    return
            assert time.monotonic() < deadline, "the collector does not become ready"
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """Ids of the processes that answer requests."""
        if self._workers == 1:
            return [self.process.pid]
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = [int(word) for word in path.read_text().split()]
        # multiprocessing's resource tracker is a child as well.
        return [child for child in children if b"spawn_main" in _command_line(child)]

    def kill_worker(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """Everything at once, as when the power goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._reap()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(PATIENCE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def post(self, path: str, value: Any, *, timeout_s: float = 30.0) -> tuple[int, dict[str, Any]]:
        return self._ask("POST", path, json.dumps(value).encode(), {"content-type": "application/json"}, timeout_s)

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        return self._ask("GET", path, None, {"authorization": f"Bearer {OPERATOR}"}, 30.0)

    def text(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"authorization": f"Bearer {OPERATOR}"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
