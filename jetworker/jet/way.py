"""
The way to Jet through a company's network: which proxy, and whom to trust.

What a proxy answers is never Jet's word. It can only say so before the tunnel is there,
when no byte of a request has left.
"""

import base64
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
import certifi
import httpx
import truststore
from typing_extensions import override

from jetworker.config.model import JetConfig, is_loopback

_WANTS_CREDENTIALS = 407
_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
# X509_V_ERR_…: no issuer (2, 20), self-signed (18, 19), nothing but the leaf (21).
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})


def proxy_of(config: JetConfig) -> httpx.Proxy | None:
    """
    Return the proxy that leads to Jet, None if none is needed.

    The setting's, else that of `HTTPS_PROXY` or `HTTP_PROXY`, to which this machine
    itself is no destination; none for a host that `NO_PROXY` names.
    """
    url = urlsplit(config.base_url)
    if proxy_bypass(url.netloc):
        return None
    if config.proxy is not None:
        return _signing_in(config.proxy.get_secret_value())
    given = None if is_loopback(url) else getproxies_environment().get(url.scheme)
    return _signing_in(given) if given else None


def _signing_in(url: str) -> httpx.Proxy:
    """Return a proxy whose credentials stand in a header, and nowhere else."""
    proxy = httpx.Proxy(url)
    if proxy.auth is None:
        return proxy
    basic = base64.b64encode(":".join(proxy.auth).encode()).decode()
    return httpx.Proxy(proxy.url, headers={"proxy-authorization": f"Basic {basic}"})


def trust_of(config: JetConfig) -> ssl.SSLContext:
    """
    Return whom we take for Jet.

    The given authorities, else the system's (`SSL_CERT_FILE` is obeyed); where a
    system has none at all, those that Mozilla trusts.
    """
    if config.ssl_ca_location is not None:
        return _Authorities(config.ssl_ca_location)
    if _has_store():
        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context(cafile=certifi.where())


def _has_store() -> bool:
    named = ssl.get_default_verify_paths()
    found = (named.cafile, named.capath, *_STORES)
    return any(path and Path(path).exists() for path in found)


class _Authorities(ssl.SSLContext):
    """Trusts the authorities in a file, read anew when it has changed."""

    def __new__(cls, _file: Path) -> Self:
        """Make a client's context: names are checked."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, file: Path) -> None:
        self._file = file
        self._changed_at = -1
        self._read()

    @override
    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection."""
        self._read()
        return super().wrap_bio(*arguments, **options)

    def _read(self) -> None:
        """Take up what the file holds now; while it cannot be read, what it held."""
        try:
            changed_at = self._file.stat().st_mtime_ns
            if changed_at != self._changed_at:
                self.load_verify_locations(cafile=os.fspath(self._file))
                self._changed_at = changed_at
        except OSError:
            if self._changed_at < 0:
                raise


def said_by_proxy(exc: BaseException, proxy: httpx.Proxy | None) -> str | None:
    """Return what the proxy had to say, None if the error is another's."""
    if proxy is None:
        return None
    name = f"the proxy {proxy.url.host}:{proxy.url.port or 'of its scheme'}"
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        hint = ": it wants credentials" if exc.status == _WANTS_CREDENTIALS else ""
        return f"{name} refused with {exc.status}{hint}"
    if _is_unreached(exc, proxy):
        return f"{name} cannot be reached"
    return None


def _is_unreached(exc: BaseException, proxy: httpx.Proxy | None) -> bool:
    """Whether the proxy itself did not answer, or has no address."""
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return proxy is not None and exc.host == proxy.url.host
    return isinstance(exc, aiohttp.ClientProxyConnectionError)


def cure(error: BaseException, config: JetConfig) -> str | None:
    """
    Say what of the way to Jet is to be repaired, None if it is not known to be the way.

    The proxy, or who is trusted: the same failed call looks alike from far off.
    """
    proxy = (
        "JETWORKER_JET__PROXY"
        if config.proxy is not None
        else "HTTPS_PROXY or HTTP_PROXY of the environment"
    )
    for each in _causes(error):
        match each:
            case aiohttp.ClientHttpProxyError(status=407):
                return f"write {proxy} as http://USER:PASSWORD@HOST:PORT"
            case aiohttp.ClientHttpProxyError():
                host = urlsplit(config.base_url).hostname
                return f"let the proxy connect to {host}, or name another in {proxy}"
            case _ if _is_unreached(each, proxy_of(config)):
                return f"correct {proxy}; NO_PROXY names what needs none"
            case ssl.SSLCertVerificationError(verify_code=int(code)):
                return _trusting(code, config)
            case _:
                pass
    return None


def _trusting(verify_code: int, config: JetConfig) -> str:
    """Say how to trust an authority; another name or another date need another cure."""
    if verify_code not in _UNKNOWN_AUTHORITY:
        return "the certificate itself is wrong: whoever answers there has to repair it"
    if config.ssl_ca_location is not None:
        return "JETWORKER_JET__SSL_CA_LOCATION has not the authority of who answers"
    return (
        "the system does not trust the authority of who answers; a company's own is"
        " named in JETWORKER_JET__SSL_CA_LOCATION"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised for."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
