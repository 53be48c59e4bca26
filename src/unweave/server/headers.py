"""Headers that every reply carries, whatever it says."""

from __future__ import annotations

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

# Scripts and styles come from this server's own files. Trusted types make a browser refuse text as HTML, so that what a
# model or a file supplies cannot become markup even where the page has a fault.
CONTENT_POLICY = (
    b"default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'"
)
SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CACHE = b"cache-control"


def secured(headers: Headers) -> list[tuple[bytes, bytes]]:
    """``headers`` with the security headers in place of the reply's own; nothing is stored that does not say it may."""
    ours = dict(SECURITY)
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in ours]
    cache = [] if any(name == _CACHE for name, _ in kept) else [(_CACHE, b"no-store")]
    return [*kept, *cache, *SECURITY]
