"""The embedded Kafka's ports: two that are free, and whether a broker answers."""

import random
import socket

# A Metadata request, version 1, about no topic: size, key 3, version 1, correlation id,
# client id, topics. The answer begins with its size, the correlation id and the number
# of brokers that take requests: only then can a topic be created.
_HELLO = bytes.fromhex("0000000e 0003 0001 00000001 0000 00000000".replace(" ", ""))
_ANSWER = 12
# Below the ports that systems give to connecting clients: those could take a broker's
# port while it is being restarted.
_PORTS = range(20_000, 32_000)


def answers(port: int) -> bool:
    """Return whether a broker there answers the protocol, and takes requests."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(_HELLO)
            answer = connection.recv(_ANSWER, socket.MSG_WAITALL)
    except OSError:
        return False
    return len(answer) == _ANSWER and answer[8:] != b"\0\0\0\0"


def free_ports() -> tuple[int, int]:
    """Return two that nobody listens on."""
    free: list[int] = []
    while len(free) < 2:  # noqa: PLR2004 -- the broker's and the controller's
        port = random.choice(_PORTS)  # noqa: S311 -- nothing is secret here
        if port not in free and _is_free(port):
            free.append(port)
    return free[0], free[1]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Java does: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
