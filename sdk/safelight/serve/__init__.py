"""One guard for every process of a device, on a Unix socket: the service, its client, and an anchor for other users.

The protocol for clients in other languages is docs/serve-protocol.md, the guide docs/serve.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from safelight.serve.anchor import AnchorBook, SocketAnchor
    from safelight.serve.client import Client, ClientConversation, default_socket_path
    from safelight.serve.errors import ServeError
    from safelight.serve.limits import ServeLimits
    from safelight.serve.service import Service

# Name to the module that has it: a client needs no service.
_HOME = {
    "AnchorBook": "anchor",
    "Client": "client",
    "ClientConversation": "client",
    "ServeError": "errors",
    "ServeLimits": "limits",
    "Service": "service",
    "SocketAnchor": "anchor",
    "default_socket_path": "client",
}

__all__ = [
    "AnchorBook",
    "Client",
    "ClientConversation",
    "ServeError",
    "ServeLimits",
    "Service",
    "SocketAnchor",
    "default_socket_path",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'safelight.serve' has no attribute {name!r}")
    value = getattr(import_module(f"safelight.serve.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
