"""Where the page cannot listen: one line says whether it is for the host or the port."""

import socket

import pytest

from jetworker.cli.ui.door import Options
from jetworker.cli.ui.serve import serve
from jetworker.core.errors import ConfigurationError
from tests.cli.test_ui_follow import CONFIG


@pytest.mark.parametrize("host", ["127.0.0..1", "203.0.113.7"])
async def test_a_host_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^--host: {host} cannot be used: "):
        await serve(CONFIG, {}, Options(host=host, port=0))


async def test_a_port_that_is_taken_is_named() -> None:
    """`jetworker sandbox` listens at the same one, if nobody says otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigurationError) as refused:
            await serve(CONFIG, {}, Options(port=port))

    assert str(refused.value) == (
        f"--port: {port} cannot be used: something listens there on 127.0.0.1 already,"
        " stop it or give another port"
    )
