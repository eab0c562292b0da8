"""Does the example start with its one command, take what is fine, and refuse what is not?"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests

pytest.importorskip("zxingcpp")


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    command = [sys.executable, str(root / "examples" / "upload_gate" / "app.py"), "--port", "0", "--test-mode"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        found = None
        for line in process.stderr:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                break
        assert found is not None
        yield found[0]
        process.terminate()
        process.stderr.read()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_accessible_and_asks_nobody_else(address: str, session: requests.Session) -> None:
    response = session.get(address, headers={"Accept": "text/html"})
    page = _Page()
    page.feed(response.text)
    labelled = {attributes.get("for") for tag, attributes in page.tags if tag == "label"}
    inputs = {attributes.get("id") for tag, attributes in page.tags if tag == "input"}
    assert inputs == labelled == {"files", "words"}
    assert ("html", {"lang": "en"}) in page.tags
    names = {tag for tag, _ in page.tags}
    assert {"main", "h1", "title"} <= names
    assert not names & {"script", "img", "link", "iframe"}
    assert "http" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]


def test_a_good_picture_arrives_byte_for_byte(address: str, session: requests.Session, portrait: Path) -> None:
    data = portrait.read_bytes()
    told = session.post(
        f"{address}/share", files={"files": ("p.jpg", data, "image/jpeg")}, data={"words": "gr\u00fc\u00dfe"}
    ).json()
    assert told["received"] == [
        {"kind": "image/jpeg", "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    ]
    assert (told["words"], told["action"]) == ("gr\u00fc\u00dfe", "ALLOW")
    pieces = iter([b"--x\r\nContent-Disposition: form-data; name=words\r\n\r\nin pie", b"ces\r\n--x--\r\n"])
    sent = session.post(f"{address}/share", data=pieces, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert sent.json()["words"] == "in pieces"


def test_a_marked_picture_among_good_ones_is_refused(address: str, session: requests.Session, portrait: Path) -> None:
    marked = session.get(f"{address}/marked.png").content
    good = ("files", ("p.jpg", portrait.read_bytes(), "image/jpeg"))
    files = [good, good, ("files", ("n.txt", marked, "text/plain"))]
    refused = session.post(f"{address}/share", files=files)
    assert refused.status_code == 422
    assert [part["action"] for part in refused.json()["parts"]] == ["ALLOW", "ALLOW", "BLOCK"]
    page = session.post(f"{address}/share", files=files, headers={"Accept": "text/html"})
    assert page.status_code == 422
    assert "Childline" in page.text


def test_what_cannot_be_read_is_said(address: str, session: requests.Session) -> None:
    broken = session.post(address, data=b"--x", headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (broken.status_code, broken.json()["reason"]) == (400, "UPLOAD_MALFORMED")


def test_the_five_lines_stand_where_they_are_promised(root: Path) -> None:
    lines = """gate = UploadGate(Guard(Profile("13_15", country="GB")))
app.add_middleware(UploadMiddleware, gate=gate)"""
    for name in ("examples/upload_gate/README.md", "docs/uploads.md"):
        assert lines in (root / name).read_text(encoding="utf-8")
