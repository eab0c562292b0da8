"""The public manifest of what this build can look for and what it cannot, made from the data itself.

Nothing is detected that is not listed here: a change of what is detected is a visible change of this list
(WeProtect GSR, safeguards on detection tools).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from safelight._build import build_info
from safelight.controls import coverage
from safelight.decision import Action, AgeBand, Event, FindingKind, State
from safelight.detect.grooming import grooming_status
from safelight.detect.plugins import installed_plugins
from safelight.detect.tiers import load_tiers
from safelight.errors import DataError, ModelError
from safelight.media import available_formats
from safelight.media.clip import available_containers
from safelight.notices import builtin_languages, load_builtin
from safelight.policy import Rules
from safelight.reporting.record import FIELDS
from safelight.runtime import load_manifest, model_ids


def capabilities() -> dict[str, Any]:
    """JSON-ready description of this build. Reads built-in data only; runs no model."""
    rules = Rules.default()
    notices = load_builtin()
    return {
        "version": build_info().version,
        "builtin_digest": build_info().builtin_digest,
        "models": [_model(model_id) for model_id in model_ids()],
        "tiers": _tiers(),
        "conversation_model": _conversation_model(),
        "plugins": [asdict(plugin) for plugin in installed_plugins()],
        "finding_kinds": [kind.value for kind in FindingKind],
        "events": [event.value for event in Event],
        "age_bands": [band.value for band in AgeBand],
        "actions": [action.name for action in Action],
        "picture_formats": list(available_formats()),
        "clip_containers": list(available_containers()),
        "rules": {"id": rules.id, "version": rules.version},
        "notice_languages": list(builtin_languages()) if notices.catalogue is not None else [],
        "help": {
            "services": len(notices.directory),
            "countries": len({service.country for service in notices.directory} - {"INT"}),
        },
        "known_lists": "none is built in; signed ones can be installed (extra [lists]); a match names list and entry",
        "network": "none unless a host or a command asks for it: sending reports and an operator's own adapters (extra "
        "[report]), a scan's Dask engine, safelight serve (a local socket); plug-ins that say so",
        "reporting": {
            "default": "off: nothing leaves the device until a collector is set up",
            "made_by": ["a match with a known list, where host and family have turned it on", "a person's own report"],
            "fields": list(FIELDS),
        },
        "keeps": "no picture, frame, thumbnail, embedding or text, except bytes that a host gives to a hold because no "
        "other copy exists: sealed, capped, erased in days; and what a family set up (docs/store.md)",
        "coverage": _coverage(),
        "not_in_this_version": [
            "full notices in languages other than English, unless the host names the language",
        ],
    }


def _coverage() -> dict[str, Any]:
    try:
        return coverage()
    except DataError:
        return {"state": State.UNVERIFIED.value}


def _tiers() -> dict[str, list[str]]:
    try:
        return {name: list(tier.all_ids) for name, tier in load_tiers().tiers.items()}
    except ModelError:
        return {}


def _conversation_model() -> dict[str, Any]:
    status = grooming_status()
    return {
        "id": status.id,
        "state": status.state.value,
        "languages": list(status.languages),
        "calibrated_languages": list(status.calibrated_languages),
    }


def _model(model_id: str) -> dict[str, Any]:
    try:
        manifest = load_manifest(model_id)
    except ModelError as error:
        return {"id": model_id, "state": str(error.state)}
    return {"state": "OK", **manifest.summary()}
