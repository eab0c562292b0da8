"""Parsers by other hands, to read what the gate writes: Werkzeug's, Django's and the standard library's for mail."""

from __future__ import annotations

import io
from email.parser import BytesParser
from email.policy import HTTP
from functools import cache
from typing import Any

from safelight.errors import UploadError
from safelight.gates.upload.body import BodyReader
from safelight.gates.upload.limits import UploadLimits
from safelight.gates.upload.spool import Budget
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

LIMITS = UploadLimits(memory_bytes=150_000, max_parts=64)

Part = tuple[str | None, str | None, bytes]
"""Name, file name, content."""


def check(content_type: str, chunks: list[bytes], encoding: str | None = None) -> tuple[list[Part], str | None, bytes]:
    """What the gate would check of a body, and what it would send on.

    Raises:
        UploadError: the gate takes none of it.
    """
    budget = Budget(LIMITS)
    reader: Any = None
    try:
        reader = BodyReader(content_type=content_type, content_encoding=encoding, limits=LIMITS, budget=budget)
        for chunk in chunks:
            reader.feed(chunk)
        body = reader.finish()
        contents = [one if isinstance(one, bytes) else one.read() for one in body.documents()]
        names = [(part.name, part.filename) for part in body.parts]
        parts = [(name, filename, content) for (name, filename), content in zip(names, contents, strict=True)]
        sent = b"".join(body)
        assert len(sent) == body.size_bytes
        return parts, body.content_type, sent
    finally:
        if reader is not None:
            reader.close()
        assert budget.used("memory") == budget.used("disk") == 0


def werkzeug_parts(content_type: str, body: bytes) -> list[Part]:
    _, options = parse_options_header(content_type)
    decoder = MultipartDecoder(options["boundary"].encode(), max_form_memory_size=None, max_parts=None)
    decoder.receive_data(body)
    decoder.receive_data(None)
    parts: list[Part] = []
    while True:
        event = decoder.next_event()
        if isinstance(event, (Epilogue, NeedData)):
            assert isinstance(event, Epilogue), "Werkzeug wants more"
            return parts
        if isinstance(event, (Field, File)):
            parts.append((event.name, event.filename if isinstance(event, File) else None, b""))
        elif isinstance(event, Data):
            name, filename, content = parts[-1]
            parts[-1] = (name, filename, content + event.data)


def mail_contents(content_type: str, body: bytes) -> list[bytes]:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    assert message.is_multipart()
    assert not (message.preamble or "").strip() and not (message.epilogue or "").strip()
    return [part.get_payload(decode=True) for part in message.get_payload()]


@cache
def _django() -> Any:
    from django.conf import settings

    settings.configure(
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,
        DATA_UPLOAD_MAX_NUMBER_FIELDS=None,
        DATA_UPLOAD_MAX_NUMBER_FILES=None,
        USE_I18N=False,
    )
    from django.http import multipartparser

    return multipartparser


def django_parts(content_type: str, body: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, bytes]]]:
    """Fields and files, as Django's apps get them."""
    parser = _django()
    from django.core.files.uploadhandler import MemoryFileUploadHandler

    class InMemory(MemoryFileUploadHandler):
        def handle_raw_input(self, *values: Any, **more: Any) -> None:
            self.activated = True

    handler = InMemory()
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    fields, files = parser.MultiPartParser(meta, io.BytesIO(body), [handler], "utf-8").parse()
    found = [(name, one.read()) for name, several in files.lists() for one in several]
    return [(name, value) for name, values in fields.lists() for value in values], found


def all_agree(parts: list[Part], content_type: str, body: bytes) -> None:
    """Every parser sees exactly these parts, in this order."""
    if content_type.startswith("multipart/form-data"):
        seen = werkzeug_parts(content_type, body)
        assert [content for _, _, content in seen] == [content for _, _, content in parts]
        assert [(name, filename is None) for name, filename, _ in seen] == [
            (name, filename is None) for name, filename, _ in parts
        ]
    assert mail_contents(content_type, body) == [content for _, _, content in parts]


__all__ = ["Part", "UploadError", "all_agree", "check", "django_parts", "mail_contents", "werkzeug_parts"]
