"""The reference collector: sealed hash records in, each stored exactly once, and nothing else kept.

```
 device ── sealed, signed ──▶ app        limits, typed errors, no address kept
                               ▼
                             intake      signature → seal → schema → inner = outer
                               ▼
                             storage     (pseudonym, id) is the permanent key; answered after the commit
```
A module imports only those to its right:
``cli → asgi → app → intake, page, metrics → storage → settings, protocol, errors``.
"""

__version__ = "0.1.0"
