"""The whole product under watch: what leaves, byte by byte, as packets and through a proxy; and what it leaves behind.

    python wire_proof.py FOLDER plain|tls packets|proxy

Run by tests/fault/test_wire_proof.py; with ``packets`` in a network namespace of its own, where every packet on the
loopback device is kept. Fails with an AssertionError that never shows what it looked for.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import io
import json
import logging
import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import trustme
from list_world import ENTRY_ID, Calm, install_list, picture
from nacl.public import PrivateKey
from PIL import Image as PilImage
from PIL.PngImagePlugin import PngInfo
from reporting_server import Proxy, Server, recording_proxy, serving
from reporting_world import FakeCollector
from safelight import Guard, Profile
from safelight.hashing import pdq, sha256
from safelight.keys import FileKeyProvider
from safelight.reporting import FIELDS, Outbox, OutboxLimits, SendState, Uploader, hash_picture
from safelight.reporting.wire import KeyRequest, RecordsRequest, SealedRecord, open_sealed

SENTINEL = "zq7sentinel"
NAME = "Zoe Quentin7"
TEXT = f"meet me {SENTINEL} at the corner"
_HEADERS = {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "connection"}


# -- what must never be seen -----------------------------------------------------------------------------------------


def traces(secret: bytes) -> list[bytes]:
    """Ways in which bytes may show: as they are, as hexadecimal digits, as base64 wherever it begins, as UTF-16."""
    found = [secret, secret.hex().encode(), secret.hex().upper().encode()]
    for start in range(3):
        # Without the letters that depend on what stands before and behind.
        cut = base64.b64encode(b"\0" * start + secret)
        begin = (8 * start + 5) // 6
        found.append(cut[begin : begin + (8 * len(secret)) // 6 - 1])
    with contextlib.suppress(UnicodeDecodeError):
        found += [secret.decode("ascii").encode("utf-16-le"), secret[::-1]]
    return found


def hide(data: bytes, secrets: dict[str, bytes]) -> list[str]:
    """Names of the secrets that show in the data."""
    return [name for name, secret in secrets.items() if any(trace in data for trace in traces(secret))]


def planted(folder: Path, pixels: np.ndarray) -> Path:
    """A picture with the sentinel in its name, its folder, its text and its EXIF."""
    where = folder / f"{SENTINEL}-folder"
    where.mkdir(exist_ok=True)
    path = where / f"{SENTINEL}-{hashlib.sha256(pixels.tobytes()).hexdigest()[:4]}.png"
    text = PngInfo()
    text.add_text("Comment", f"{SENTINEL} comment by {NAME}")
    image = PilImage.fromarray(pixels)
    exif = image.getexif()
    exif[0x010E] = f"{SENTINEL} description"
    image.save(path, pnginfo=text, exif=exif)
    return path


# -- packets ---------------------------------------------------------------------------------------------------------


class Capture:
    """Every packet on the loopback device of this network namespace."""

    def __init__(self) -> None:
        self._up()
        self.packets: list[bytes] = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _up() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            name = b"lo".ljust(16, b"\0")
            flags = struct.unpack("16sh", fcntl.ioctl(control, 0x8913, name + b"\0" * 16)[:18])[1]
            fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", name, flags | 1))

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                self.packets.append(self._socket.recv(1 << 17))

    def finish(self) -> None:
        """Take what still comes, and stop."""
        self._ended.wait(0.3)
        self._ended.set()
        self._thread.join()
        statistics = self._socket.getsockopt(263, 6, 8)  # SOL_PACKET, PACKET_STATISTICS
        assert struct.unpack("II", statistics)[1] == 0, "the capture dropped packets"
        self._socket.close()

    def streams(self) -> dict[tuple[int, int], bytes]:
        """What each side of each TCP connection said, by (from port, to port). Anything but TCP is a failure."""
        parts: dict[tuple[int, int], dict[int, bytes]] = {}
        first: dict[tuple[int, int], int] = {}
        for packet in self.packets:
            version = packet[14] >> 4
            assert version == 4, "a packet that is not IPv4"
            header = 14 + (packet[14] & 15) * 4
            assert packet[23] == 6, "a packet that is not TCP"
            total = 14 + int.from_bytes(packet[16:18], "big")
            source, target, sequence = struct.unpack("!HHI", packet[header : header + 8])
            data = packet[header + (packet[header + 12] >> 4) * 4 : total]
            key = (source, target)
            if packet[header + 13] & 2:  # SYN
                first[key] = (sequence + 1) & 0xFFFFFFFF
            if data:
                parts.setdefault(key, {})[sequence] = max(parts.get(key, {}).get(sequence, b""), data, key=len)
        whole = {}
        for key, segments in parts.items():
            stream = b""
            for sequence, data in sorted(segments.items(), key=lambda one: (one[0] - first[key]) & 0xFFFFFFFF):
                at = (sequence - first[key]) & 0xFFFFFFFF
                assert at <= len(stream), "a gap in what was captured"
                stream = stream[:at] + data + stream[at + len(data) :]
            whole[key] = stream
        return whole


# -- what leaves -----------------------------------------------------------------------------------------------------


def requests_of(stream: bytes) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
    """Every request in what a client said; every byte belongs to one."""
    while stream:
        head, end, rest = stream.partition(b"\r\n\r\n")
        assert end, "bytes that are no request"
        line, *fields = head.decode("ascii").split("\r\n")
        method, target, version = line.split(" ")
        assert version == "HTTP/1.1"
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        assert len(headers) == len(fields), "a header twice"
        size = int(headers.get("content-length", 0))
        assert len(rest) >= size
        yield method, target, headers, rest[:size]
        stream = rest[size:]


def check_request(method: str, target: str, headers: dict[str, str], body: bytes, key: PrivateKey) -> list[Any]:
    """Everything in a request is of the schema; returns the records that it opens to."""
    assert set(headers) <= _HEADERS, "a header that nobody declared"
    assert headers.get("user-agent") == "safelight-report/1"
    path = re.sub(r"^http://[^/]+", "", target)
    if (method, path) == ("GET", "/v1/collector"):
        assert body == b""
        return []
    assert method == "POST"
    if path == "/v1/keys":
        request = msgspec.json.decode(body, type=KeyRequest)
        assert msgspec.json.encode(request) == body, "bytes that mean nothing"
        return []
    assert path == "/v1/records"
    batch = msgspec.json.decode(body, type=RecordsRequest)
    assert msgspec.json.encode(batch) == body, "bytes that mean nothing"
    records = []
    for one in batch.records:
        assert isinstance(one, SealedRecord)
        record = open_sealed(bytes(key), one.sealed)
        assert set(record.to_dict()) == set(FIELDS)
        records.append(record)
    return records


# -- the product -----------------------------------------------------------------------------------------------------


def run_product(
    folder: Path,
    pictures: list[np.ndarray],
    paths: list[Path],
    url: str,
    collector: FakeCollector,
    proxy: Proxy,
    ca_file: str | None,
) -> dict[str, bytes]:
    """A list match, another picture, a chat, a search, a person's own report, and sending; returns the secrets."""
    matched, other, own = pictures
    store = install_list(folder, matched)
    outbox = Outbox(
        folder / "state" / "outbox.sqlite",
        keys=FileKeyProvider(folder / "keys"),
        limits=OutboxLimits(send_every_s=0),
    )
    outbox.connect(msgspec.structs.replace(collector.config, url=url, ca_file=ca_file))
    with Guard(
        Profile("adult", country="GB", languages=("en",)), lists=[store], detectors=[Calm()], reporting=outbox
    ) as guard:
        decision = guard.check_image(paths[0], event="receive")
        assert decision.record is not None
        assert decision.record.entry_id == ENTRY_ID
        seen = [repr(decision), json.dumps(decision.to_dict())]
        for source in (paths[1], str(paths[1]), paths[1].read_bytes(), io.BytesIO(paths[1].read_bytes()), other):
            assert guard.check_image(source).record is None
        with guard.conversation() as chat:
            seen.append(repr(chat.add(sender="other", text=TEXT)))
        seen.append(repr(guard.check_query(TEXT)))
        seen.append(repr(guard.check_url(f"https://{SENTINEL}.example/{SENTINEL}")))
    receipt = outbox.report("image_of_me", picture=hash_picture(paths[2]))
    outbox.report("not_sure")
    uploader = Uploader(outbox, proxy=proxy.url)
    result = uploader.flush()
    assert (result.state, result.acked) == (SendState.SENT, 3), result.to_dict()
    ledger = outbox.ledger()
    assert outbox.receipt(receipt.id).state == "acked"
    seen += [repr(ledger), json.dumps(ledger.to_dict()), repr(outbox.status()), repr(outbox), repr(result)]
    outbox.close()
    secrets = {
        "sentinel": SENTINEL.encode(),
        "name": NAME.encode(),
        "path": str(folder.resolve()).encode(),
        "text": b"at the corner",
    }
    for number, (pixels, path) in enumerate(zip((matched, other, own), paths, strict=True)):
        content = path.read_bytes()
        secrets |= {
            f"pixels {number}": pixels[100, 40:60].tobytes(),
            f"file {number}": content[len(content) // 2 :][:24],
            f"sha256 {number}": sha256(content).bits,
            f"pdq {number}": pdq(pixels).bits,
            f"pdq {number}, in part": pdq(pixels).bits[8:24],
        }
    assert hide("".join(seen).encode(), secrets) == []
    return secrets


def main(folder: Path, transport: str, watch: str) -> None:
    """Run all of it and check every byte."""
    pictures = [picture(1), picture(2), picture(3)]
    # Before the log begins: Pillow's writers log what they write.
    paths = [planted(folder, pixels) for pixels in pictures]
    log = io.StringIO()
    logging.basicConfig(stream=log, level=logging.DEBUG, force=True)
    addresses: set[Any] = set()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo"):
            addresses.add(str(arguments[1] if event == "socket.connect" else arguments[:2]))

    collector = FakeCollector()
    context, ca_file = None, None
    if transport == "tls":
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        (folder / "public").mkdir()
        authority.cert_pem.write_to_path(ca_file := str(folder / "public" / "ca.pem"))
    capture = Capture() if watch == "packets" else None
    server = Server(collector)
    with serving(server, context=context), recording_proxy() as proxy:
        sys.addaudithook(hook)
        secrets = run_product(folder, pictures, paths, server.url, collector, proxy, ca_file)
        proxy_port, server_port = (int(url.rpartition(":")[2]) for url in (proxy.url, server.url))
    if capture is not None:
        capture.finish()

    # 1. What came out of the product, as the proxy and the collector saw it.
    records = []
    for method, target, headers, body in server.requests:
        records += check_request(
            method, target, {k.lower(): v for k, v in headers.items()}, body, collector.private_key
        )
    assert len(records) == 3
    by_person = {record.made_by: record for record in records if record.hash is not None}
    assert set(by_person) == {"person"}
    assert by_person["person"].hash == secrets["pdq 2"].hex(), "the hash of the file that the person named"
    opened = " ".join(json.dumps(record.to_dict()) for record in records).encode()
    assert hide(opened, secrets) == ["pdq 2", "pdq 2, in part"], "in the records, only that one hash"
    sent = b"".join(proxy.sent)
    assert hide(sent, secrets) == []
    assert hide(b"".join(proxy.received), secrets) == []

    # 2. The packets: nothing but these connections, and every byte of them accounted for.
    if capture is not None:
        streams = capture.streams()
        ports = {port for pair in streams for port in pair}
        assert streams, "nothing was captured"
        assert all({proxy_port, server_port} & set(pair) for pair in streams), "a connection to somewhere else"
        assert len(ports) > 2
        assert hide(b"".join(capture.packets), secrets) == []
        from_product = [stream for (_, target), stream in streams.items() if target == proxy_port]
        assert from_product
        found = []
        for stream in from_product:
            if transport == "plain":
                for request in requests_of(stream):
                    found += check_request(*request, collector.private_key)
                continue
            connect, _, rest = stream.partition(b"\r\n\r\n")
            assert re.fullmatch(rb"CONNECT localhost:\d+ HTTP/1\.[01]", connect), "more than where to"
            while rest:  # and then TLS records, whole ones, and nothing between them
                kind, version, size = struct.unpack("!BHH", rest[:5])
                assert kind in (20, 21, 22, 23)
                assert version in (0x0301, 0x0303)
                assert len(rest) >= 5 + size
                rest = rest[5 + size :]
        if transport == "plain":
            assert sorted(r.id for r in found) == sorted(r.id for r in records), "packets and collector disagree"

    # 3. What it left behind: in files and logs.
    kept = [path for path in folder.rglob("*") if path.is_file() and SENTINEL not in str(path.relative_to(folder))]
    assert any(path.name == "outbox.sqlite" for path in kept)
    for path in kept:
        content = path.read_bytes()
        shown = hide(content, secrets)
        # The CA's file is the operator's; nothing else may name a path either.
        assert shown == [], f"{path.name} shows {shown}"
    assert hide(log.getvalue().encode(), secrets) == []
    assert all(str(proxy_port) in one or "localhost" in one or str(server_port) in one for one in addresses)
    sys.stdout.write(json.dumps({"records": len(records), "packets": len(capture.packets) if capture else None}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
