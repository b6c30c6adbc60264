"""A token server as companies have one, and a broker that believes its signatures."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from typing_extensions import override

from jetworker.sandbox.kafka.broker import EmbeddedKafka
from tests.support.kafka.acls import asking

CLIENT, SECRET, AUDIENCE = "jetworker", "oidc-canary", "kafka"
_PACKAGE = "org.apache.kafka.common.security.oauthbearer"
# Which token servers a broker may ask (Kafka 4.0 and later) is a property of its Java.
JAVA_OPTIONS = f"-D{_PACKAGE.replace('common.security', 'sasl')}.allowed.urls="


@dataclass
class TokenServer:
    """Issues signed tokens of a short *life*, and shows the keys that they are checked by."""

    life: float = 3600.0
    audience: str = AUDIENCE
    is_up: bool = True
    issued: int = 0
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on; the old ones are still shown."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._keys[f"key-{len(self._keys)}"] = key

    def token(self) -> str:
        """Sign a token."""
        self.issued += 1
        name, key = list(self._keys.items())[-1]
        now = time.time()
        claims = {
            "sub": CLIENT,
            "aud": self.audience,
            "iat": int(now),
            "exp": int(now + self.life),
            "scope": "kafka",
        }
        return jwt.encode(claims, key, algorithm="RS256", headers={"kid": name})

    def keys(self) -> dict[str, Any]:
        """Return the public keys (RFC 7517)."""
        shown = []
        for name, key in self._keys.items():
            public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
            shown.append(public | {"kid": name, "alg": "RS256", "use": "sig"})
        return {"keys": shown}

    def answer(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, Any]:
        """Answer who asks for a token (RFC 6749 §4.4)."""
        self.asked.append(form)
        if not self.is_up:
            return 503, {"error": "temporarily_unavailable"}
        wanted = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if authorization != f"Basic {wanted}":
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") != ["client_credentials"]:
            return 400, {"error": "unsupported_grant_type"}
        return 200, {"access_token": self.token(), "expires_in": int(self.life)}


@contextmanager
def serving(tokens: TokenServer) -> Iterator[TokenServer]:
    """Serve on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, tokens.keys())

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            form = parse_qs(self.rfile.read(length).decode())
            self._send(*tokens.answer(self.headers["Authorization"] or "", form))

        def _send(self, status: int, body: Any) -> None:
            encoded = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    tokens.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield tokens
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def believing(tokens: TokenServer) -> tuple[EmbeddedKafka, str]:
    """
    Return a broker, not started, and the address where a signed token signs in.

    Who signed in may stay as long as its token is good, then the connection is cut.
    """
    return asking(
        {
            "sasl.enabled.mechanisms": "OAUTHBEARER",
            "oauthbearer.sasl.jaas.config": (
                f"{_PACKAGE}.OAuthBearerLoginModule required;"
            ),
            "oauthbearer.sasl.server.callback.handler.class": (
                f"{_PACKAGE}.OAuthBearerValidatorCallbackHandler"
            ),
            "oauthbearer.sasl.oauthbearer.jwks.endpoint.url": f"{tokens.url}/keys",
            "oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
            "oauthbearer.connections.max.reauth.ms": "3600000",
        },
        {
            "sasl.oauthbearer.jwks.endpoint.url": f"{tokens.url}/keys",
            "sasl.oauthbearer.expected.audience": AUDIENCE,
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": "100",
        },
    )
