"""The interface as OpenAPI 3.1, made from the same types that decode and encode it."""

from __future__ import annotations

from typing import Any

import msgspec

from safelight_collector import __version__
from safelight_collector.errors import CODES
from safelight_collector.protocol import (
    CollectorInfo,
    CountersAnswer,
    ErrorAnswer,
    KeyAnswer,
    KeyRequest,
    RecordsAnswer,
    RotateRequest,
    Upload,
)
from safelight_collector.settings import Settings

_TYPES = (CollectorInfo, CountersAnswer, ErrorAnswer, KeyAnswer, KeyRequest, RecordsAnswer, RotateRequest, Upload)
_RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}


def describe(settings: Settings) -> dict[str, Any]:
    """The whole description, with this collector's limits."""
    schemas, components = msgspec.json.schema_components(_TYPES, ref_template="#/components/schemas/{name}")
    refs: dict[Any, dict[str, Any]] = dict(zip(_TYPES, schemas, strict=True))

    def operation(
        name: str,
        summary: str,
        *,
        answer: type | str,
        errors: tuple[str, ...] = (),
        body: type | None = None,
        made: bool = False,
        operator: bool = False,
        parameters: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        content = (
            {answer: {"schema": {"type": "string"}}}
            if isinstance(answer, str)
            else {"application/json": {"schema": refs[answer]}}
        )
        responses: dict[str, Any] = {"200": {"description": "Done.", "content": content}}
        if made:
            responses["201"] = {"description": "Done, and it is new.", "content": content}
        codes = (*errors, *(("not_operator",) if operator else ()), "internal")
        for status in sorted({CODES[code] for code in codes}):
            responses[str(status)] = {
                "description": f"Error: {', '.join(code for code in codes if CODES[code] == status)}.",
                "content": {"application/json": {"schema": refs[ErrorAnswer]}},
                **({"headers": _RETRY} if status in (429, 503) else {}),
            }
        said: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
        if body is not None:
            said["requestBody"] = {"required": True, "content": {"application/json": {"schema": refs[body]}}}
        if operator:
            said["security"] = [{"bearer": []}, {"basic": []}]
        if parameters:
            said["parameters"] = [
                {"name": one, "in": "query", "required": False, "schema": {"type": "string", "format": "date"}}
                for one in parameters
            ]
        return said

    taken = ("malformed", "too_slow", "too_large", "not_json", "too_many", "busy", "storage")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Safelight reference collector",
            "version": __version__,
            "summary": "Takes sealed hash records, stores each exactly once, and nothing else.",
            "description": "The protocol, with what is sealed and signed, stands in docs/reporting.md. A record "
            "without an acknowledgement is sent again; `refused` is final.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            "/v1/collector": {
                "get": operation("describeCollector", "What a device needs to know.", answer=CollectorInfo)
            },
            "/v1/keys": {
                "post": operation(
                    "enrol",
                    "Enrol a device's key with a token; the same key again is answered again.",
                    body=KeyRequest,
                    answer=KeyAnswer,
                    made=True,
                    errors=(*taken, "bad_enrolment", "expired_pseudonym"),
                )
            },
            "/v1/keys/rotate": {
                "post": operation(
                    "rotate",
                    "The old key vouches for its one successor.",
                    body=RotateRequest,
                    answer=KeyAnswer,
                    made=True,
                    errors=(*taken, "bad_signature", "unknown_pseudonym", "expired_pseudonym", "already_rotated"),
                )
            },
            "/v1/records": {
                "post": operation(
                    "upload",
                    f"Up to {settings.max_batch} sealed records of one pseudonym, in at most "
                    f"{settings.max_body_bytes} bytes.",
                    body=Upload,
                    answer=RecordsAnswer,
                    errors=(*taken, "unknown_pseudonym", "expired_pseudonym"),
                )
            },
            "/v1/counters": {
                "get": operation(
                    "counters",
                    "Counts fit for publishing, by default of 30 days; small cells are left out.",
                    answer=CountersAnswer,
                    operator=True,
                    parameters=("from", "to"),
                    errors=("malformed", "storage"),
                )
            },
            "/health": {"get": operation("health", "Whether the process runs.", answer="application/json")},
            "/ready": {
                "get": operation(
                    "ready", "Whether records could be stored now.", answer="application/json", errors=("storage",)
                )
            },
            "/metrics": {
                "get": operation(
                    "metrics",
                    "Prometheus' text format.",
                    answer="text/plain",
                    operator=not settings.metrics_open,
                    errors=("storage",),
                )
            },
            "/openapi.json": {"get": operation("openapi", "This description.", answer="application/json")},
            "/": {
                "get": operation(
                    "operations", "The operations page.", answer="text/html", operator=True, errors=("storage",)
                )
            },
        },
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The operator's token."},
                "basic": {"type": "http", "scheme": "basic", "description": "Any name; the token as password."},
            },
        },
    }
