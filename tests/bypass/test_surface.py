"""What does not exist cannot be misused: no way to show a guardian a picture, to reach a victim, to report a child."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest
import safelight
import safelight.store
from safelight import Guard
from safelight.store import Hold, Holds, Store

# A verb is enough: an innocent name with one of these in it would be a badly chosen name.
FORBIDDEN = (
    "contact_victim", "message_victim", "notify", "alert", "report_child", "report_user", "report_person", "accuse",
    "punish", "strike", "lock_device", "wipe", "spy", "screenshot",
)  # fmt: skip


def modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            try:
                yield importlib.import_module(found.name)
            except ImportError:
                continue  # an extra that is not installed here


def public_names(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", module.__name__) != module.__name__:
            continue
        yield name
        if inspect.isclass(value):
            yield from (member for member in vars(value) if not member.startswith("_"))


def test_nothing_contacts_a_victim_or_reports_a_child() -> None:
    seen = 0
    for module in modules(safelight):
        for name in public_names(module):
            seen += 1
            assert not any(word in name.lower() for word in FORBIDDEN), f"{module.__name__}.{name}"
    assert seen > 500


def test_the_store_knows_no_way_out() -> None:
    """No module of the store, nor what it imports of ours, names a network, a mail or a process."""
    for module in modules(safelight.store):
        tree = ast.parse(inspect.getsource(module))
        imported = {
            name.split(".")[0]
            for node in ast.walk(tree)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not imported & {"socket", "ssl", "http", "urllib", "smtplib", "subprocess", "requests", "webbrowser"}


def test_held_bytes_have_one_way_out() -> None:
    """The only public call that gives bytes is ``restore``, and it gives those of a released hold only."""
    gives_bytes = [
        name
        for name, member in inspect.getmembers(Holds, inspect.isfunction)
        if not name.startswith("_") and "bytes" in str(inspect.signature(member).return_annotation)
    ]
    assert gives_bytes == ["restore"]
    assert {field.name for field in dataclasses.fields(Hold)} == {
        "id", "category", "event", "age_band", "action", "state", "known", "handle", "size_bytes", "expires_in_s",
    }  # fmt: skip


def test_a_guardian_is_given_counts_only() -> None:
    assert str(inspect.signature(Holds.counts).return_annotation) == "dict[str, int]"


@pytest.mark.parametrize("call", ["propose", "cancel", "consents", "tick"])
def test_what_protects_needs_no_pin(call: str) -> None:
    member = getattr(Store, call, None)
    if call == "consents":
        member = safelight.store.Consents.withdraw
    assert member is not None
    for name, parameter in inspect.signature(member).parameters.items():
        if name == "pin":
            assert parameter.default is None


def test_help_has_no_condition() -> None:
    """`Guard.help` works closed, without a store, and takes no PIN."""
    guard = Guard(detectors=[])
    guard.close()
    assert guard.help()
    assert "pin" not in inspect.signature(Guard.help).parameters
