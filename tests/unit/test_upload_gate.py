"""Does the gate decide about every file of a request by its content, and does the strictest one count?"""

from __future__ import annotations

import base64
import io
import json
import threading
from pathlib import Path

import pytest
from safelight import Action, ClosedError, Guard, MediaNotFoundError, Profile, UnsupportedInputError, UsageError
from safelight.errors import UploadBusyError, UploadTooLargeError
from safelight.gates import UploadGate, UploadLimits, UploadRules
from safelight.testing import TestMode, known_match, nudity
from safelight.uploads import PASSABLE_KINDS
from upload_world import BAD, Brightness, archive, gate, picture


def _guard(band: str = "13_15") -> Guard:
    return Guard(Profile(band, country="GB"), detectors=[Brightness()])


@pytest.mark.parametrize("kind", ["path", "text path", "bytes", "bytearray", "file", "memoryview"])
def test_before_upload_takes_what_a_host_has(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(picture(BAD))
    source = {
        "path": path,
        "text path": str(path),
        "bytes": picture(BAD),
        "bytearray": bytearray(picture(BAD)),
        "memoryview": memoryview(picture(BAD)),
        "file": io.BytesIO(picture(BAD)),
    }[kind]
    with _guard() as guard:
        decision = guard.before_upload(source)  # type: ignore[arg-type]
    assert decision.action is Action.BLOCK
    assert decision.event.value == "upload"
    assert decision.notice is not None


def test_a_file_object_is_where_it_was() -> None:
    stream = io.BytesIO(b"abc" + picture())
    stream.seek(2)
    with _guard() as guard:
        guard.before_upload(stream)
    assert stream.tell() == 2


@pytest.mark.parametrize(
    ("data", "action", "reason"),
    [
        (b"", "ALLOW", "NOT_A_PICTURE"),
        (b'{"comment": "nice"}', "ALLOW", "NOT_A_PICTURE"),
        (picture(), "ALLOW", None),
        (picture(BAD), "BLOCK", "NUDITY_EXPLICIT"),
        (picture(BAD, "JPEG"), "BLOCK", "NUDITY_EXPLICIT"),
        (base64.b64encode(picture()), "ALLOW", None),
        (json.dumps({"a": base64.b64encode(picture(BAD)).decode()}).encode(), "BLOCK", "NUDITY_EXPLICIT"),
        (archive(picture(BAD)), "BLOCK", "NUDITY_EXPLICIT"),
        (archive(b"text"), "HOLD", "NOT_MEDIA"),
        (picture() + archive(picture()), "HOLD", "NO_DECODER"),
        (b"%PDF-1.7\n\xff", "HOLD", "NO_DECODER"),
        (b"<svg>", "HOLD", "NO_DECODER"),
        (b"\0\1\2\3" * 9, "HOLD", "NOT_MEDIA"),
        (picture(BAD)[:60], "HOLD", "DECODE_FAILED"),
    ],
)
def test_content_decides(data: bytes, action: str, reason: str | None) -> None:
    with _guard() as guard:
        decision = guard.before_upload(data)
    assert decision.action.name == action
    assert decision.reasons == ((reason,) if reason else ())


def test_an_archive_is_held_for_the_youngest_whatever_is_in_it() -> None:
    with _guard("under_10") as guard:
        assert guard.before_upload(archive(picture())).action is Action.HOLD


def test_rules_hold_more() -> None:
    with _guard() as guard:
        assert guard.before_upload(b"text", rules=UploadRules(hold_text=True)).action is Action.HOLD


@pytest.mark.parametrize("kind", sorted(PASSABLE_KINDS, key=str))
def test_a_listed_kind_passes_and_no_other(kind: str) -> None:
    documents = {
        "archive": archive(b"text"),
        "pdf": b"%PDF-1.7\n\xff",
        "office": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0",
        "audio": b"ID3\4\0\0\0\0",
        "font": b"wOF2\0\1\0\0",
    }
    with _guard() as guard:
        for name, data in documents.items():
            decision = guard.before_upload(data, rules=UploadRules(pass_kinds=frozenset({kind})))  # type: ignore[arg-type]
            assert decision.action is (Action.ALLOW if name == kind else Action.HOLD)
            assert ("PASSED_BY_LIST" in decision.reasons) == (name == kind)


def test_what_was_seen_in_a_listed_kind_counts() -> None:
    rules = UploadRules(pass_kinds=frozenset({"archive", "pdf"}))  # type: ignore[arg-type]
    with _guard() as guard:
        assert guard.before_upload(archive(picture(BAD)), rules=rules).action is Action.BLOCK
    with Guard(Profile("adult"), detectors=[Brightness()], test_mode=TestMode(known_match())) as guard:
        assert guard.before_upload(b"%PDF-1.7\n\xff", rules=rules).action is Action.HOLD


def test_text_is_not_touched_by_the_trigger_kit_and_pictures_are() -> None:
    with Guard(Profile("10_12"), detectors=[Brightness()], test_mode=TestMode(nudity(0.97))) as guard:
        assert guard.before_upload(b"text").action is Action.ALLOW
        assert guard.before_upload(picture()).action is Action.BLOCK
        assert guard.before_upload(b"text").test_mode


@pytest.mark.parametrize(
    "options",
    [
        {"pass_kinds": "pdf"},
        {"pass_kinds": {"unknown"}},
        {"pass_kinds": {"picture"}},
        {"pass_kinds": {"clip"}},
        {"pass_kinds": 3},
        {"max_embedded": -1},
    ],
)
def test_rules_that_would_open_the_gate_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        UploadRules(**options)  # type: ignore[arg-type]


def test_mistakes_of_a_programmer_are_errors(tmp_path: Path) -> None:
    class Once(io.RawIOBase):
        def readable(self) -> bool:
            return True

    with _guard() as guard:
        with pytest.raises(MediaNotFoundError):
            guard.before_upload(tmp_path / "missing")
        for wrong in (io.StringIO("x"), Once()):
            with pytest.raises(UnsupportedInputError):
                guard.before_upload(wrong)  # type: ignore[arg-type]
        with pytest.raises(UnsupportedInputError):
            guard.before_upload(3)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            guard.before_upload(b"", event="upload!")
    with pytest.raises(ClosedError):
        guard.before_upload(b"")


def test_one_bad_picture_among_ten_good_ones_holds_them_all_and_is_named() -> None:
    files: list[bytes] = [picture(level) for level in range(10, 20)]
    files.insert(7, picture(BAD))
    with gate() as upload_gate:
        verdict = upload_gate.check(files)
    assert verdict.refused
    assert verdict.action is Action.BLOCK
    assert [part.decision.action.name for part in verdict.parts] == ["ALLOW"] * 7 + ["BLOCK"] + ["ALLOW"] * 3
    assert [part.index for part in verdict.parts] == list(range(11))
    assert verdict.decision is verdict.parts[7].decision
    shown = verdict.to_dict()
    assert shown["parts"][7] == {
        "index": 7,
        "kind": "picture",
        "size_bytes": len(files[7]),
        "action": "BLOCK",
        "reasons": ["NUDITY_EXPLICIT"],
    }


def test_a_nudge_passes_unless_the_gate_is_stricter() -> None:
    class Suggestive(Brightness):
        def detect(self, image: object) -> list:  # type: ignore[type-arg]
            from safelight import Finding, FindingKind, Label, State

            return [Finding(FindingKind.NUDITY, State.OK, Label.SUGGESTIVE, 0.6, "s")]

    with gate(detector=Suggestive()) as upload_gate:
        verdict = upload_gate.check([picture()])
        assert verdict.action is Action.NUDGE and not verdict.refused
    with gate(detector=Suggestive(), refuse_at=Action.NUDGE) as upload_gate:
        assert upload_gate.check([picture()]).refused
    for wrong in (Action.ALLOW, Action.HOLD, Action.BLOCK):
        with pytest.raises(UsageError), _guard() as guard:
            UploadGate(guard, refuse_at=wrong)


def test_nothing_to_send_is_allowed() -> None:
    with gate() as upload_gate:
        verdict = upload_gate.check([])
    assert verdict.action is Action.ALLOW and not verdict.refused and verdict.decision is None


def test_a_stream_that_can_be_read_once_is_kept_while_it_is_looked_at() -> None:
    class Once(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            return self._data.readinto(buffer)

    with gate(limits=UploadLimits(memory_bytes=0, max_body_bytes=1 << 20)) as upload_gate:
        assert upload_gate.check([Once(picture(BAD)), Once(b"text")]).action is Action.BLOCK
        with pytest.raises(UploadTooLargeError):
            upload_gate.check([Once(b"x" * (2 << 20))])
        assert upload_gate.budget.used("disk") == 0


def test_pictures_are_looked_at_side_by_side() -> None:
    both = threading.Barrier(2, timeout=20)

    class Meeting(Brightness):
        def detect(self, image: object) -> list:  # type: ignore[type-arg]
            both.wait()
            return super().detect(image)  # type: ignore[arg-type]

    with gate(detector=Meeting()) as upload_gate:
        assert not upload_gate.check([picture(1), picture(2)]).refused


def test_a_closed_gate_says_so() -> None:
    with _guard() as guard:
        upload_gate = UploadGate(guard)
        upload_gate.close()
        upload_gate.close()
        with pytest.raises(ClosedError):
            upload_gate.check([b"x"])
        assert guard.before_upload(b"x").action is Action.ALLOW


def test_only_so_many_bodies_at_once() -> None:
    with gate(limits=UploadLimits(max_requests=1)) as upload_gate:
        upload_gate.enter()
        with pytest.raises(UploadBusyError):
            upload_gate.enter()
        upload_gate.leave()
        upload_gate.enter()
        upload_gate.leave()


@pytest.mark.parametrize("options", [{"max_parts": 0}, {"idle_timeout_s": 0}, {"memory_bytes": -1}, {"max_parts": 1.5}])
def test_limits_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        UploadLimits(**options)  # type: ignore[arg-type]


def test_events_that_go_out() -> None:
    with _guard() as guard:
        with UploadGate(guard, event="send") as upload_gate:
            assert upload_gate.check([picture(BAD)]).parts[0].decision.event.value == "send"
        for wrong in ("receive", "nothing"):
            with pytest.raises(UsageError):
                UploadGate(guard, event=wrong)


def test_clips_are_looked_at_and_a_marked_frame_is_found() -> None:
    pytest.importorskip("av")
    from clip_world import calm_guard, encode, marked, moving

    frames = list(moving(12))
    good = encode(frames)
    bad = encode([marked(pixels) if number == 7 else pixels for number, pixels in enumerate(frames)])
    with calm_guard() as guard, UploadGate(guard) as upload_gate:
        verdict = upload_gate.check([good, bad, good + archive(picture()), b"text", good[: len(good) // 2]])
        assert [part.kind.value for part in verdict.parts] == ["clip", "clip", "clip", "text", "clip"]
        assert [part.decision.action.name for part in verdict.parts] == ["ALLOW", "BLOCK", "HOLD", "ALLOW", "HOLD"]


def test_one_marked_picture_among_ten_good_ones() -> None:
    pytest.importorskip("zxingcpp")
    from clip_world import calm_guard, marked, moving
    from PIL import Image as PilImage

    def coded(pixels: object) -> bytes:
        buffer = io.BytesIO()
        PilImage.fromarray(pixels).save(buffer, "JPEG", quality=90)  # type: ignore[arg-type]
        return buffer.getvalue()

    frames = list(moving(11))
    files = [coded(marked(pixels) if number == 4 else pixels) for number, pixels in enumerate(frames)]
    with calm_guard() as guard, UploadGate(guard) as upload_gate:
        verdict = upload_gate.check(files)
    assert [part.index for part in verdict.parts if part.decision.action >= Action.BLUR] == [4]
    assert verdict.decision is not None and verdict.decision.test_mode
