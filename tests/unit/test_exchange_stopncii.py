"""Question: are cases fetched to the end, hashes submitted in the shape that others use, and secrets kept?"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from loopback import Answer, Request, serve
from safelight.errors import ExchangeAnswerError, ExchangeUnsureError, UnsupportedInputError, UsageError
from safelight.exchange import Feedback, StopNcii
from safelight.hashing import PdqHash

KEYS = {"fetch_key": "fetch-secret", "submit_key": "submit-secret", "feedback_key": "feedback-secret"}
HASHES = [PdqHash.from_bits(bytes([number]) * 32) for number in range(5)]


def record(one: PdqHash, status: str = "Active", kind: str = "ImagePDQ", modified: int = 20) -> dict[str, Any]:
    return {
        "lastModtimestamp": modified,
        "signalType": kind,
        "hashValue": one.hex(),
        "hashStatus": status,
        "caseNumbers": {"case": status},
        "CSPFeedbacks": [{"feedbackValue": "Blocked", "tags": [], "source": "x"}],
    }


PAGES = {
    "": ([record(HASHES[0]), record(HASHES[1], "Withdrawn")], "next", True),
    "next": (
        [record(HASHES[2]), record(HASHES[3], kind="VideoMD5"), {**record(HASHES[4]), "hashValue": "x"}],
        "",
        False,
    ),
}


def service(request: Request) -> Answer:
    function = urlsplit(request.path).path.rpartition("/")[2]
    key = {"FetchHashes": "fetch", "SubmitHashes": "submit", "SubmitFeedback": "feedback"}.get(function)
    if key is None or not request.path.startswith("/v1/"):
        return Answer(404)
    wanted = (f"{key}-secret", "subscription-secret")
    if (request.headers.get("x-functions-key"), request.headers.get("ocp-apim-subscription-key")) != wanted:
        return Answer(401)
    if function != "FetchHashes":
        return Answer(200, {})
    query = parse_qs(urlsplit(request.path).query)
    records, token, more = PAGES[query.get("nextPageToken", [""])[0]]
    return Answer(
        value={
            "count": len(records),
            "nextPageToken": token or None,
            "nextSetTimestamp": 99,
            "hasMoreRecords": more,
            "hashRecords": records,
        }
    )


def client(url: str, **changes: Any) -> StopNcii:
    return StopNcii(
        "subscription-secret", url=url + "/v1", sleep=lambda seconds: None, clock=lambda: 1234.5, **{**KEYS, **changes}
    )


def test_every_page_is_read_and_the_checkpoint_is_named() -> None:
    with serve(service) as server, client(server.url) as stopncii:
        first, last = list(stopncii.fetch(12))
    assert [(one.hash, one.withdrawn) for one in first.records] == [(HASHES[0], False), (HASHES[1], True)]
    assert [one.hash for one in last.records] == [HASHES[2]]
    assert (first.skipped, last.skipped, last.next_timestamp, last.last) == (0, 2, 99, True)
    queries = [parse_qs(urlsplit(request.path).query) for request in server.requests]
    assert queries == [
        {"startTimestamp": ["12"], "pageSize": ["800"]},
        {"startTimestamp": ["12"], "pageSize": ["800"], "nextPageToken": ["next"]},
    ]


def test_submitting_and_feedback_have_the_shape_and_send_a_hash_once() -> None:
    with serve(service) as server, client(server.url) as stopncii:
        assert stopncii.submit([HASHES[0], HASHES[1], HASHES[0]]) == 2
        assert stopncii.give_feedback({HASHES[2]: Feedback.NOT_BLOCKED}) == 1
        assert stopncii.submit([]) == 0
    submitted, said = (request.json for request in server.requests)
    assert submitted["count"] == 2
    assert submitted["hashRecords"][0] == {
        "lastModtimestamp": 1234,
        "signalType": "ImagePDQ",
        "hashValue": HASHES[0].hex(),
        "CSPFeedbacks": [{"tags": [], "feedbackValue": "Blocked"}],
    }
    assert said == {
        "count": 1,
        "hashFeedbacks": [{"tags": [], "feedbackValue": "NotBlocked", "hashValue": HASHES[2].hex()}],
    }


@pytest.mark.skipif(find_spec("threatexchange") is None, reason="threatexchange is not installed")
def test_the_client_of_threatexchange_sends_the_same_but_for_one_word() -> None:
    from threatexchange.exchanges.clients.stopncii import api

    with serve(service) as server:
        theirs = api.StopNCIIAPI(
            "subscription-secret",
            "fetch-secret",
            {
                api.StopNCIIEndpoint.SubmitHashes: "submit-secret",
                api.StopNCIIEndpoint.SubmitFeedback: "feedback-secret",
            },
            server.url + "/v1",
        )
        kind = api.StopNCIISignalType.ImagePDQ
        pages = list(theirs.fetch_hashes_iter(12))
        theirs.submit_hash(kind, HASHES[0].hex())
        theirs.submit_feedback(kind, HASHES[0].hex(), api.StopNCIICSPFeedbackValue.NotBlocked)
        their_requests = server.requests.copy()
        server.requests.clear()
        with client(server.url) as stopncii:
            ours = list(stopncii.fetch(12))
            stopncii.submit(HASHES[:1])
            stopncii.give_feedback({HASHES[0]: Feedback.NOT_BLOCKED})
    assert [page.nextSetTimestamp for page in pages] == [page.next_timestamp for page in ours]
    assert len(their_requests) == len(server.requests) == 4
    for their, our in zip(their_requests, server.requests, strict=True):
        assert (their.method, urlsplit(their.path).path) == (our.method, urlsplit(our.path).path)
        assert parse_qs(urlsplit(their.path).query) == parse_qs(urlsplit(our.path).query)
        for name in ("x-functions-key", "ocp-apim-subscription-key"):
            assert their.headers[name] == our.headers[name]
    their_record, our_record = (requests[2].json["hashRecords"][0] for requests in (their_requests, server.requests))
    assert their_record.pop("signalType") == "StopNCIISignalType.ImagePDQ"
    assert our_record.pop("signalType") == "ImagePDQ"
    assert their_record.pop("lastModtimestamp") > our_record.pop("lastModtimestamp")
    assert their_record == our_record
    assert their_requests[3].json == server.requests[3].json


def test_pages_that_lead_nowhere_end_with_an_error() -> None:
    page = {"nextSetTimestamp": 1, "hasMoreRecords": True, "hashRecords": [], "nextPageToken": "same"}
    with serve(lambda request: Answer(value=page)) as server, client(server.url) as stopncii:
        with pytest.raises(ExchangeAnswerError, match="lead nowhere"):
            list(stopncii.fetch())
    assert len(server.requests) == 2


def test_a_broken_submission_is_unsure_and_not_repeated() -> None:
    with serve(lambda request: Answer(0)) as server, client(server.url) as stopncii:
        with pytest.raises(ExchangeUnsureError, match="looked there"):
            stopncii.submit(HASHES)
    assert len(server.requests) == 1


def test_no_key_no_request_and_nothing_but_hashes(portrait: Any) -> None:
    with serve(service) as server:
        with pytest.raises(UsageError, match="SubmitHashes"):
            client(server.url, submit_key=None).submit(HASHES)
        with pytest.raises(UnsupportedInputError):
            client(server.url).submit([portrait.read_bytes()])
        with pytest.raises(UsageError):
            list(client(server.url).fetch(-1))
    assert server.requests == []


def test_no_secret_and_no_hash_in_logs_and_reprs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(service) as server, client(server.url) as stopncii:
        pages = list(stopncii.fetch())
        stopncii.submit(HASHES)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - any, for what it says
            client(server.url, fetch_key="wrong-secret").fetch().__next__()
        said = f"{stopncii!r} {vars(stopncii)!r} {pages!r} {caught.value!r} {caplog.text}"
    assert "secret" not in said
    assert all(one.hex() not in said for one in HASHES)
