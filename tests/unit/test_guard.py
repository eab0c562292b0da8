"""Does the front door wire picture to decision to notice?"""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage
from safelight import Action, Event, Finding, FindingKind, Guard, Label, Profile, State, UsageError
from safelight.media import Image
from safelight.testing import TestMode, known_match, nudity, state, subject


class Stub:
    """A detector that answers by the picture's mean brightness, so that frames can be told apart."""

    id = "stub"
    kinds = (FindingKind.NUDITY,)

    def __init__(self) -> None:
        self.seen = 0

    def prepare(self) -> State:
        return State.OK

    def detect(self, image: Image) -> list[Finding]:
        self.seen += 1
        score = float(image.pixels.mean()) / 255
        return [Finding(self.kinds[0], State.OK, Label.EXPLICIT if score > 0.9 else Label.NONE, score, self.id)]

    def close(self) -> None:
        pass


def _png(level: int) -> bytes:
    buffer = io.BytesIO()
    PilImage.new("RGB", (64, 48), (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def _gif(levels: list[int]) -> bytes:
    frames = [PilImage.new("L", (64, 48), level) for level in levels]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=40)
    return buffer.getvalue()


def test_a_portrait_uploads_for_a_ten_year_old(portrait: Path) -> None:
    with Guard(Profile("10_12", country="GB")) as guard:
        decision = guard.check_image(portrait, event=Event.UPLOAD)
    assert decision.action is Action.ALLOW
    assert decision.notice is None
    assert decision.record is None
    assert decision.reasons == ()
    by_model = {finding.model: finding for finding in decision.findings}
    for model in ("open_nsfw_v1", "nsfwjs_mid_v1"):
        finding = by_model.pop(model)
        assert (finding.kind, finding.state, finding.label) == ("nudity", "OK", "none")
        assert finding.score is not None
        assert 0 <= finding.score < 0.5
    (age,) = by_model.values()
    assert (age.kind, age.state) == ("age", "OK")
    assert age.label in ("adult", "unsure")
    assert age.interval_years is not None
    assert age.interval_years[0] < age.interval_years[1]


def test_a_stubbed_positive_blocks_with_notice_and_help(portrait: Path) -> None:
    with Guard(Profile("10_12", country="GB"), test_mode=TestMode(nudity(0.97))) as guard:
        decision = guard.check_image(portrait, event="upload")
    assert decision.action is Action.BLOCK
    assert decision.test_mode
    assert decision.reasons == ("NUDITY_EXPLICIT",)
    assert decision.notice is not None
    assert decision.notice.title
    assert decision.notice.choices
    assert any(service.phone and service.read_on for service in decision.notice.help)
    assert {"open_nsfw_v1", "nsfwjs_mid_v1", "trigger-kit"} <= {f.model for f in decision.findings}


def test_the_same_picture_in_every_form_gets_the_same_score(portrait: Path) -> None:
    data = portrait.read_bytes()
    picture = PilImage.open(io.BytesIO(data))
    array = np.asarray(picture.convert("RGB"))
    with Guard() as guard:
        scores = [
            guard.check_image(source, color=color).findings[0].score
            for source, color in [
                (str(portrait), "RGB"),
                (portrait, "RGB"),
                (data, "RGB"),
                (io.BytesIO(data), "RGB"),
                (picture, "RGB"),
                (array, "RGB"),
                (array[:, :, ::-1], "BGR"),
            ]
        ]
    assert len(set(scores)) == 1


def test_one_bad_frame_among_many_decides() -> None:
    levels = [10, 20, 30, 40, 255, 50]
    with Guard(Profile("13_15"), detectors=[Stub()]) as guard:
        assert guard.check_image(_gif(levels), event="send").action is Action.BLOCK
        assert guard.check_image(_gif(levels[:4]), event="send").action is Action.ALLOW


def test_every_frame_is_looked_at() -> None:
    detector = Stub()
    with Guard(detectors=[detector]) as guard:
        guard.check_image(_gif([10, 60, 110, 160, 210]))
    assert detector.seen == 5


def test_frames_that_decode_do_not_vouch_for_one_that_does_not() -> None:
    data = _gif([10, 60, 110, 160, 210])
    with Guard(Profile("10_12"), detectors=[Stub()]) as guard:
        decision = guard.check_image(data[: len(data) - len(data) // 4])
    assert decision.action is Action.HOLD
    assert "DECODE_FAILED" in decision.reasons


@pytest.mark.parametrize(
    ("finding", "band", "event", "action", "reason"),
    [
        (nudity(0.6), "under_10", "capture", Action.HOLD, "NUDITY_SUGGESTIVE"),
        (nudity(0.6), "16_17", "send", Action.ALLOW, None),
        (nudity(0.9), "13_15", "view", Action.BLUR, "NUDITY_EXPLICIT"),
        (nudity(0.9), "adult", "send", Action.HOLD, "SUBJECT_UNSURE"),
        (known_match(), "adult", "view", Action.HOLD, "KNOWN_MATCH"),
        (state("NO_MODEL"), "16_17", "view", Action.HOLD, "NO_MODEL"),
        (subject(0.99), "adult", "send", Action.ALLOW, None),
    ],
)
def test_the_trigger_kit_reaches_the_table(
    finding: Finding, band: str, event: str, action: Action, reason: str | None
) -> None:
    with Guard(Profile(band), detectors=[Stub()], test_mode=TestMode(finding)) as guard:
        decision = guard.check_image(_png(10), event=event)
    assert decision.action is action
    assert decision.reasons[:1] == ((reason,) if reason else ())
    assert (decision.notice is None) == (action is Action.ALLOW)


def test_strong_evidence_gives_an_adult_the_deterrence_notice_and_never_a_record() -> None:
    kit = TestMode(nudity(0.99), subject(0.99))
    with Guard(Profile("adult", country="GB"), detectors=[Stub()], test_mode=kit) as guard:
        decision = guard.check_image(_png(10), event="upload")
    assert decision.reasons[0] == "SUBJECT_MINOR_STRONG"
    assert decision.notice is not None
    assert decision.notice.id.startswith("adult_subject_minor_strong")
    assert decision.record is None


def test_the_trigger_kit_cannot_lower_a_decision() -> None:
    with Guard(Profile("10_12"), detectors=[Stub()], test_mode=TestMode(nudity(0.0))) as guard:
        assert guard.check_image(_png(255)).action is Action.BLOCK


def test_zero_configuration_is_protective() -> None:
    with Guard(detectors=[Stub()]) as guard:
        assert guard.profile.band.value == "unknown"
        assert guard.check_image(_png(255)).action is Action.BLOCK
        assert guard.check_image(b"").action is Action.HOLD


def test_no_detector_means_nothing_can_be_allowed() -> None:
    with Guard(Profile("adult"), detectors=[]) as guard:
        decision = guard.check_image(_png(10))
    assert (decision.action, decision.reasons) == (Action.HOLD, ("NO_EVIDENCE",))


def test_a_detector_that_raises_could_not_tell() -> None:
    class Broken(Stub):
        def detect(self, image: Image) -> list[Finding]:
            raise ZeroDivisionError

    with Guard(Profile("adult"), detectors=[Broken()]) as guard:
        decision = guard.check_image(_png(10))
    assert (decision.action, decision.reasons) == (Action.HOLD, ("DETECTOR_FAILED",))


def test_a_detector_that_says_nothing_could_not_tell() -> None:
    class Silent(Stub):
        def detect(self, image: Image) -> list[Finding]:
            return []

    with Guard(Profile("adult"), detectors=[Silent()]) as guard:
        assert guard.check_image(_png(10)).reasons == ("DETECTOR_FAILED",)


def test_detectors_in_a_process_of_their_own_say_the_same(portrait: Path) -> None:
    with Guard(Profile("10_12")) as here, Guard(Profile("10_12"), isolation="process", concurrency=1) as there:
        assert there.prepare() == {"vision_full": State.OK}
        assert there.check_image(portrait).findings == here.check_image(portrait).findings


def test_many_pictures_come_back_in_order() -> None:
    with Guard(detectors=[Stub()]) as guard:
        actions = [d.action for d in guard.check_images([_png(10), _png(255), b"x"])]
    assert actions == [Action.ALLOW, Action.BLOCK, Action.HOLD]


def test_threads_share_a_guard(portrait: Path) -> None:
    with Guard(concurrency=2) as guard, ThreadPoolExecutor(8) as pool:
        decisions = list(pool.map(lambda _: guard.check_image(portrait), range(24)))
    assert len({d.findings[0].score for d in decisions}) == 1


def test_asyncio(portrait: Path) -> None:
    async def both() -> list[Action]:
        decisions = await asyncio.gather(guard.acheck_image(portrait), guard.acheck_image(b"x"))
        return [d.action for d in decisions]

    with Guard() as guard:
        assert asyncio.run(both()) == [Action.ALLOW, Action.HOLD]


def test_no_more_checks_at_once_than_it_says() -> None:
    import threading

    running, most, lock = 0, 0, threading.Lock()

    class Counting(Stub):
        def detect(self, image: Image) -> list[Finding]:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            threading.Event().wait(0.005)
            with lock:
                running -= 1
            return super().detect(image)

    with Guard(detectors=[Counting()], concurrency=3) as guard, ThreadPoolExecutor(10) as pool:
        list(pool.map(guard.check_image, [_png(10)] * 30))
    assert most == 3


def test_help_is_for_the_country_and_survives_closing() -> None:
    guard = Guard(Profile("under_10", country="GB"), detectors=[], today=lambda: date(2026, 12, 1))
    guard.close()
    assert any(service.country == "GB" and service.phone for service in guard.help())


@pytest.mark.parametrize("tier", ["live", "full"])
def test_prepare_says_what_every_picture_will_get(tier: str) -> None:
    with Guard(tier=tier) as guard:
        assert guard.prepare() == {f"vision_{tier}": State.OK}


def test_the_live_tier_allows_the_portrait_too(portrait: Path) -> None:
    with Guard(Profile("10_12"), tier="live") as guard:
        decision = guard.check_image(portrait)
    assert decision.action is Action.ALLOW
    assert [finding.model for finding in decision.findings] == ["nsfwjs_mobilenet_v2_v1"]


@pytest.mark.parametrize("country", ["gb", "GB"])
def test_country_in_any_case(country: str) -> None:
    assert Profile(country=country).country == "GB"


@pytest.mark.parametrize(
    "arguments",
    [{"age_band": "12"}, {"country": "GBR"}, {"country": ""}, {"languages": ()}, {"languages": ("e n",)}],
)
def test_a_faulty_profile_is_refused_with_the_right_values(arguments: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="expected"):
        Profile(**arguments)  # type: ignore[arg-type]


def _zip_with(name: str, data: bytes) -> bytes:
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("band", "level", "reasons"),
    [
        ("under_10", 10, ("NOT_MEDIA",)),
        ("13_15", 10, ()),
        ("13_15", 255, ("NUDITY_EXPLICIT",)),
        ("adult", 10, ()),
    ],
)
def test_documents_are_held_or_looked_into_by_age_band(band: str, level: int, reasons: tuple[str, ...]) -> None:
    with Guard(Profile(band), detectors=[Stub()]) as guard:
        assert guard.check_image(_zip_with("a.png", _png(level))).reasons == reasons


def test_a_camera_frame() -> None:
    from safelight import Frame

    with Guard(Profile("10_12"), detectors=[Stub()]) as guard:
        white = Frame(bytes([255]) * (64 * 48) + bytes([128]) * (64 * 24), "nv21", width=64, height=48)
        assert guard.check_image(white, event="capture").action is Action.BLOCK
