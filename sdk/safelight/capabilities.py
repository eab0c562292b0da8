"""The public manifest of what this build can look for and what it cannot, made from the data itself.

Nothing is detected that is not listed here: a change of what is detected is a visible change of this list
(WeProtect GSR, safeguards on detection tools).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from safelight._build import build_info
from safelight.decision import Action, AgeBand, Event, FindingKind
from safelight.detect.plugins import installed_plugins
from safelight.detect.tiers import load_tiers
from safelight.errors import ModelError
from safelight.media import available_formats
from safelight.notices import load_builtin
from safelight.policy import Rules
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
        "plugins": [asdict(plugin) for plugin in installed_plugins()],
        "finding_kinds": [kind.value for kind in FindingKind],
        "events": [event.value for event in Event],
        "age_bands": [band.value for band in AgeBand],
        "actions": [action.name for action in Action],
        "picture_formats": list(available_formats()),
        "rules": {"id": rules.id, "version": rules.version},
        "notice_languages": [notices.catalogue.lang] if notices.catalogue is not None else [],
        "help": {
            "services": len(notices.directory),
            "countries": len({service.country for service in notices.directory} - {"INT"}),
        },
        "known_lists": "none is built in; signed ones can be installed (extra [lists]); a match names list and entry",
        "network": "none: no part of this build opens a connection",
        "reporting": "none: nothing leaves the device",
        "keeps": "nothing: no picture, frame, thumbnail, embedding or text is stored",
        "not_in_this_version": [
            "video clips and live video",
            "grooming text",
            "guardian settings, holds and appeals",
            "reporting",
            "notices in languages other than English",
        ],
    }


def _tiers() -> dict[str, list[str]]:
    try:
        return {name: list(tier.all_ids) for name, tier in load_tiers().tiers.items()}
    except ModelError:
        return {}


def _model(model_id: str) -> dict[str, Any]:
    try:
        manifest = load_manifest(model_id)
    except ModelError as error:
        return {"id": model_id, "state": str(error.state)}
    return {"state": "OK", **manifest.summary()}
