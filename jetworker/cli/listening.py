"""Where a server of ours cannot listen: the setting that says so, and what to do."""

import errno
import socket
from dataclasses import dataclass

from jetworker.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, and how the settings are called that name them."""

    host: str
    port: int
    host_setting: str = "--host"
    port_setting: str = "--port"

    def unusable(self, exc: OSError | UnicodeError) -> ConfigurationError:
        """Say which of the two nobody can listen at."""
        host = f"{self.host_setting}: {self.host} cannot be used"
        port = f"{self.port_setting}: {self.port} cannot be used"
        if isinstance(exc, UnicodeError):  # an empty part between dots, or a long one
            return ConfigurationError(f"{host}: no name")
        if isinstance(exc, socket.gaierror) or exc.errno == errno.EADDRNOTAVAIL:
            return ConfigurationError(f"{host}: {exc.strerror}")
        if exc.errno == errno.EADDRINUSE:
            return ConfigurationError(
                f"{port}: something listens there on {self.host} already, stop it or"
                " give another port"
            )
        return ConfigurationError(f"{port}: {exc.strerror}")
