"""A small web app whose uploads wait for a verdict, with one page to try it.

    python examples/upload_gate/app.py                # then open the address that it prints
    python examples/upload_gate/app.py --test-mode    # with a marked picture to be refused

Nothing is stored: the app counts what reached it and says what it was.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from safelight import Action, Guard, Profile
from safelight.gates import UploadGate, UploadMiddleware, UploadVerdict
from starlette.datastructures import UploadFile

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1rem; max-width: 44rem; font: 1.125rem/1.5 system-ui, sans-serif; }
label { display: block; margin-block: 1rem .25rem; }
input, button { font: inherit; min-height: 48px; max-width: 100%; }
button { padding: .5rem 1.5rem; margin-block: 1rem; }
:focus-visible { outline: 3px solid; outline-offset: 3px; }
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>",
        headers=_HEADERS,
    )


def create_app(*, band: str = "13_15", country: str = "GB", test_mode: bool = False) -> FastAPI:
    """The app: a form, what answers it, and the gate before both.

    Args:
        band: age of the person who uploads; see ``safelight.AgeBand``.
        country: of that person, for help.
        test_mode: refuse pictures with a marker too, and offer one.
    """
    kit = None
    if test_mode:
        from safelight.testing import TestMode

        kit = TestMode(marked=True)
    guard = Guard(Profile(band, country=country), test_mode=kit)
    gate = UploadGate(guard)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        gate.close()
        guard.close()

    app = FastAPI(title="Upload gate", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.add_middleware(UploadMiddleware, gate=gate)

    @app.get("/")
    async def form() -> HTMLResponse:
        marked = '<p><a href="/marked.png" download>A marked picture that will be refused</a></p>' if kit else ""
        return _page(
            "Share pictures",
            f'{marked}<form method="post" action="/share" enctype="multipart/form-data">'
            '<label for="files">Pictures or other files</label>'
            '<input id="files" type="file" name="files" multiple required>'
            '<label for="words">A few words</label><input id="words" type="text" name="words" autocomplete="off">'
            '<div><button type="submit">Share</button></div></form>',
        )

    @app.post("/share")
    async def share(request: Request) -> Response:
        # Whoever comes here was let through: nothing about safety is left to do.
        async with request.form() as values:
            received = []
            for file in values.getlist("files"):
                if isinstance(file, UploadFile):
                    digest = hashlib.sha256(await file.read()).hexdigest()
                    received.append({"kind": file.content_type, "size_bytes": file.size, "sha256": digest})
            words = str(values.get("words") or "")
        verdict: UploadVerdict = request.scope["safelight.upload"]
        shown = {"received": received, "words": words, "action": verdict.action.name}
        if "text/html" not in request.headers.get("accept", ""):
            return JSONResponse(shown)
        rows = "".join(f"<li>{one['size_bytes']} bytes, {escape(str(one['kind']))}</li>" for one in received)
        nudge = ""
        if verdict.action is Action.NUDGE and verdict.decision is not None and verdict.decision.notice is not None:
            notice = verdict.decision.notice
            nudge = f"<section><h2>{escape(notice.title)}</h2><p>{escape(notice.body)}</p></section>"
        return _page("Shared", f'{nudge}<ul>{rows}</ul><p>{escape(words)}</p><p><a href="/">Share more</a></p>')

    @app.get("/marked.png")
    async def marked_picture() -> Response:
        if kit is None:
            return Response(status_code=404)
        import numpy as np
        from PIL import Image
        from safelight.testing import mark_picture

        ramp = np.linspace(40, 160, 640, dtype=np.uint8)
        pixels = np.repeat(np.tile(ramp, (480, 1))[..., np.newaxis], 3, axis=2)
        buffer = io.BytesIO()
        Image.fromarray(mark_picture(pixels, score=0.97)).save(buffer, "PNG")
        return Response(buffer.getvalue(), media_type="image/png")

    return app


def main() -> None:
    """Serve the app on this device."""
    import uvicorn

    parser = argparse.ArgumentParser(description="A small web app whose uploads wait for a verdict.")
    parser.add_argument("--port", type=int, default=8765, help="0 chooses a free one")
    parser.add_argument("--age-band", default="13_15")
    parser.add_argument("--country", default="GB")
    parser.add_argument("--test-mode", action="store_true", help="refuse marked pictures too, and offer one")
    chosen = parser.parse_args()
    app = create_app(band=chosen.age_band, country=chosen.country, test_mode=chosen.test_mode)
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, access_log=False)


if __name__ == "__main__":
    main()
