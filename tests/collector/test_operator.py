"""What an operator sees, and only an operator: counters, metrics, the page; health and readiness for machines."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from collector_world import OPERATOR
from prometheus_client.parser import text_string_to_metric_families
from safelight_collector.app import create_app
from safelight_collector.errors import SetupError, StorageError


@pytest.mark.parametrize("path", ["/", "/metrics", "/v1/counters"])
def test_the_operators_pages_need_the_token(collector, path: str):
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic ???"}, {"authorization": OPERATOR}):
        answer = collector.client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (401, "not_operator")
        assert answer.headers["www-authenticate"].startswith("Basic")
    basic = b64encode(f"anybody:{OPERATOR}".encode()).decode()
    assert collector.client.get(path, headers={"authorization": f"Basic {basic}"}).status_code == 200
    assert collector.operator(path).status_code == 200


def test_without_a_token_they_stay_closed(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url, operator_token="")
    assert world.client.get("/", headers={"authorization": "Bearer "}).status_code == 401
    assert world.client.get("/metrics").status_code == 401


def test_metrics_may_be_opened(make_world: Callable[..., Any], sqlite_url: str):
    assert make_world(sqlite_url, metrics_open=True).client.get("/metrics").status_code == 200


def test_counters_are_fit_for_publishing(collector):
    device = collector.device()
    person = dict.fromkeys(("action", "policy", "list_id", "entry_id", "distance"))
    collector.send(device, [device.record() for _ in range(30)])
    collector.send(device, [device.record(made_by="person", category="seen_online", **person) for _ in range(12)])
    collector.send(device, [device.record(made_by="person", category="not_sure", **person) for _ in range(3)])
    answer = collector.operator("/v1/counters?from=2026-11-01&to=2026-11-30").json()
    assert answer == {
        "schema": 1,
        "from": "2026-11-01",
        "to": "2026-11-30",
        "counters": {
            "records.action.hold": 30,
            "records.action.none": 15,
            "records.category.known_material": 30,
            "records.made_by.list_match": 30,
            "records.made_by.person": 15,
            "records.stored": 45,
        },
    }
    assert collector.operator("/v1/counters").json()["to"] == "2026-11-22"


def test_a_transparency_report_takes_the_counters_as_they_are(collector):
    from safelight.accountability.transparency import build_report, read_counters, report_csv

    device = collector.device()
    collector.send(device, [device.record() for _ in range(30)])
    periods = read_counters(collector.operator("/v1/counters").content)
    table = report_csv(build_report(list(periods), product="a product", source="collector"))
    assert "known_material" in table
    assert "30" in table


@pytest.mark.parametrize(
    "query", ["from=2026-11-20&to=2026-11-22", "from=2026-12-01&to=2026-11-01", "from=yesterday", "to=2026-13-01"]
)
def test_counters_of_days_that_would_tell_or_do_not_exist(collector, query: str):
    answer = collector.operator(f"/v1/counters?{query}")
    assert (answer.status_code, answer.json()["error"]) == (400, "malformed")


def test_metrics_count_and_name_nobody(collector):
    device = collector.device()
    record = device.record()
    collector.send(device, [record, record, {**record, "id": "00" * 16}])
    text = collector.operator("/metrics").text
    found = {
        (sample.name, tuple(sorted(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    name = "safelight_collector_records_total"
    assert (found[name, ("stored",)], found[name, ("duplicate",)], found[name, ("refused",)]) == (1, 1, 1)
    assert found["safelight_collector_refused_total", ("signature",)] == 1
    assert found["safelight_collector_requests_total", ("/v1/records", "200")] == 1
    assert found["safelight_collector_in_flight", ()] == 0
    assert device.pseudonym not in text


class _Page(HTMLParser):
    """Collects what a reader without eyes and a strict network would meet."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_is_whole_in_itself_and_accessible(collector):
    device = collector.device()
    collector.send(device, [device.record() for _ in range(12)])
    answer = collector.operator("/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = _Page()
    page.feed(answer.text)
    names = [tag for tag, _ in page.tags]
    assert names.count("rect") == 30
    assert names.count("h1") == 1
    assert {"script", "link", "img", "iframe"}.isdisjoint(names)
    assert not any(name in ("src", "href", "action") for _, attributes in page.tags for name in attributes)
    assert "url(" not in answer.text
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    for tag, attributes in page.tags:
        if tag == "th":
            assert attributes.get("scope") in ("row", "col")
        if tag == "svg":
            assert attributes["role"] == "img"
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in ids
    (html,) = [attributes for tag, attributes in page.tags if tag == "html"]
    assert html["lang"] == "en"
    assert "Records stored: 12" in answer.text
    highest = max(float(attributes["height"] or 0) for tag, attributes in page.tags if tag == "rect")
    assert highest == 160.0
    assert device.pseudonym not in answer.text


def test_the_page_of_an_empty_collector(collector):
    assert "Records stored: 0" in collector.operator("/").text
    assert "never: set up its timer" in collector.operator("/").text


def test_the_page_shows_no_small_cells(collector):
    device = collector.device()
    collector.send(device, [device.record() for _ in range(3)])
    assert re.search(r"known_material</th><td class=\"number\">withheld", collector.operator("/").text)


def test_health_is_the_process_and_ready_is_the_database(either, monkeypatch: pytest.MonkeyPatch):
    get = either.client.get
    assert (get("/health").status_code, get("/ready").json()) == (200, {"status": "ready"})
    storage = either.app.state.collector.storage

    def down() -> None:
        raise StorageError("database: it did not do what was asked (test); look at the server and its disk")

    monkeypatch.setattr(storage, "check_ready", down)
    assert get("/ready").status_code == 200
    either.seconds += 1
    answer = get("/ready")
    assert (answer.status_code, answer.json()["error"]) == (503, "storage")
    assert int(answer.headers["retry-after"]) >= 1
    assert get("/health").status_code == 200


def test_a_process_that_has_not_the_newest_key_is_not_ready(collector):
    collector.storage.add_sealing_key(b"\1" * 32)
    assert collector.client.get("/ready").status_code == 503


def test_without_the_secret_of_a_key_in_use_it_does_not_start(collector):
    collector.storage.add_sealing_key(b"\1" * 32)
    with pytest.raises(SetupError, match="1 of 2 keys"):
        create_app(collector.settings)


def test_it_does_not_start_on_another_schema(make_world: Callable[..., Any], sqlite_url: str):
    world = make_world(sqlite_url)
    world.storage.migrate("0001", down=True)
    with pytest.raises(SetupError, match="migrate"):
        create_app(world.settings)
