"""The built-in picture detector: nudity by independent models, and the apparent age of who is shown.

``live`` is one small model for every frame; ``full`` is two models that both always look, since either alone
may decide, and a closer look (tiles, turns) where they are in doubt. The reasons are in docs/adr/0006.
"""

from __future__ import annotations

from collections.abc import Iterator

from safelight.decision import Finding, FindingKind, Label, State
from safelight.detect.age import AgeEstimate, AgeEstimator
from safelight.detect.faces import FaceFinder
from safelight.detect.nudity import NudityClassifier
from safelight.detect.quality import brightened, examine
from safelight.detect.ready import ReadyModel
from safelight.detect.tiers import CloserLook, Tier, Tiers, load_tiers
from safelight.errors import ClosedError, ModelError, UsageError
from safelight.media import Image

TIERS: tuple[Tier, ...] = ("live", "full")

_SEVERITY = {Label.NO_FACE: 0, Label.ADULT: 1, Label.UNSURE: 2, Label.MINOR: 3}


class VisionDetector:
    """Looks at pictures with the models of one tier; thread-safe.

    Models are loaded and verified when first needed (or by :meth:`prepare`). One that cannot be used answers
    with its state for every picture.

    Args:
        tier: ``live`` or ``full``.
        runtime: ``auto``, ``ai-edge-litert`` or ``tflite-runtime``.

    Raises:
        UsageError: an unknown tier.
    """

    kinds = (FindingKind.NUDITY, FindingKind.AGE)

    def __init__(self, tier: Tier = "full", *, runtime: str = "auto") -> None:
        if tier not in TIERS:
            raise UsageError(f"tier: got {tier!r}, expected {' or '.join(TIERS)}.")
        self.tier = tier
        self.id = f"vision_{tier}"
        self._runtime = runtime
        self._closed = False
        self._failure: ModelError | None = None
        self._models: dict[str, ReadyModel] = {}
        try:
            self._assemble(load_tiers())
        except ModelError as error:
            self._failure = error

    @property
    def models(self) -> tuple[str, ...]:
        """Ids of the models of this tier."""
        return tuple(self._models)

    def prepare(self) -> State:
        """Load and verify every model of the tier now.

        Returns:
            ``OK``, or the first state that is not, nudity models first.

        Raises:
            ClosedError: after :meth:`close`.
        """
        self._require_open()
        if self._failure is not None:
            return State(self._failure.state)
        for model in self._models.values():
            try:
                model.get()
            except ModelError as error:
                return State(error.state)
        return State.OK

    def detect(self, image: Image) -> tuple[Finding, ...]:
        """Findings of kind ``nudity`` (one a model, and one more when several agree) and ``age`` (one).

        The age finding is about the apparently youngest face. In ``live`` it is looked for only where
        something was found that it could matter for.
        """
        self._require_open()
        if self._failure is not None:
            return self._could_not(State(self._failure.state))
        try:
            return tuple(self._look(image))
        except MemoryError:
            return self._could_not(State.OUT_OF_MEMORY)

    def close(self) -> None:
        """Give the models' memory back. Safe to call twice."""
        self._closed = True
        for model in self._models.values():
            model.close()

    def _assemble(self, tiers: Tiers) -> None:
        self._tiers = tiers
        chosen = tiers.tiers[self.tier]
        for model_id in chosen.all_ids:
            self._models[model_id] = ReadyModel(model_id, runtime=self._runtime)
        self._nudity = [NudityClassifier(self._models[model_id]) for model_id in chosen.nudity]
        self._faces = FaceFinder(self._models[chosen.faces], tiers.subject)
        self._age = AgeEstimator([(self._models[age.model], age.crops) for age in chosen.age], tiers.subject)
        self._look_closer = chosen.look_closer

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this detector was closed; make a new Guard to go on.")

    def _could_not(self, state: State) -> tuple[Finding, ...]:
        return tuple(Finding(kind, state, model=self.id) for kind in self.kinds)

    def _look(self, image: Image) -> Iterator[Finding]:
        look = examine(image, self._tiers.quality)
        if look.state is not State.OK:
            yield Finding(FindingKind.NUDITY, look.state, model=self.id)
            return
        views = [image] if look.gain == 1.0 else [image, brightened(image, look.gain)]
        nudity = list(self._nudity_findings(views))
        yield from nudity
        found_something = any(f.label not in (None, Label.NONE) for f in nudity)
        if self.tier == "full" or found_something:
            yield self._subject_finding(views[-1], closely=found_something)

    def _nudity_findings(self, views: list[Image]) -> Iterator[Finding]:
        working: list[NudityClassifier] = []
        columns: list[list[float]] = []
        for classifier in self._nudity:
            try:
                columns.append([classifier.score(view) for view in views])
            except ModelError as error:
                yield Finding(FindingKind.NUDITY, State(error.state), model=classifier.id)
                continue
            working.append(classifier)
        if not working:
            return
        looks = list(zip(*columns, strict=True))  # [look][model]
        further: list[tuple[float, ...]] = []
        doubt = self._tiers.closer_look
        if self._look_closer and doubt.from_score <= max(map(max, columns)) < doubt.below_score:
            try:
                further = [
                    tuple(classifier.score(view, crop=crop, turn_degrees=turn) for classifier in working)
                    for view in views
                    for crop, turn in closer_looks(view.area_px, doubt)
                ]
            except ModelError as error:
                yield Finding(FindingKind.NUDITY, State(error.state), model=self.id)
        for index, classifier in enumerate(working):
            score = max(max(look[index] for look in looks), self._confirmed([look[index] for look in further]))
            yield Finding(FindingKind.NUDITY, State.OK, classifier.label(score), score, classifier.id)
        if len(working) > 1:
            # Two opinions of one and the same look.
            agreed = max(max(min(look) for look in looks), self._confirmed([min(look) for look in further]))
            if agreed >= self._tiers.agreement.each_at_least:
                yield Finding(FindingKind.NUDITY, State.OK, Label.EXPLICIT, agreed, self._tiers.id)

    def _confirmed(self, scores: list[float]) -> float:
        """The score that as many further looks as are needed reach."""
        needed = self._tiers.closer_look.looks_needed
        return sorted(scores, reverse=True)[needed - 1] if len(scores) >= needed else 0.0

    def _subject_finding(self, image: Image, *, closely: bool) -> Finding:
        model = "+".join(self._tiers.tiers[self.tier].age_ids)
        try:
            faces = self._faces.find(image, tiles=closely)
            if not closely:
                # Animals and things; where it matters who is shown, they stay and count as unsure.
                faces = [face for face in faces if face.confirmed]
            if not faces:
                return Finding(FindingKind.AGE, State.OK, Label.NO_FACE, 0.0, self._tiers.tiers[self.tier].faces)
            estimates = [self._age.estimate(image, face) for face in faces]
        except ModelError as error:
            return Finding(FindingKind.AGE, State(error.state), model=model)
        youngest = max(estimates, key=_severity)
        return Finding(FindingKind.AGE, State.OK, youngest.label, youngest.p_under_18, model, youngest.interval_years)


def closer_looks(
    area: tuple[float, float, float, float], doubt: CloserLook
) -> Iterator[tuple[tuple[float, float, float, float] | None, int]]:
    """``(crop, turn)`` of every further look: overlapping tiles, then the whole picture turned."""
    left, top, right, bottom = area
    width, height = (right - left) * doubt.tile_share, (bottom - top) * doubt.tile_share
    steps = int((1.0 - doubt.tile_share) / doubt.tile_step + 1e-9) + 1
    for row in range(steps):
        for column in range(steps):
            x = left + column * doubt.tile_step * (right - left)
            y = top + row * doubt.tile_step * (bottom - top)
            yield (x, y, min(x + width, right), min(y + height, bottom)), 0
    for turn in doubt.turns_degrees:
        yield None, turn


def _severity(estimate: AgeEstimate) -> tuple[int, float]:
    return _SEVERITY[estimate.label], estimate.p_under_18
