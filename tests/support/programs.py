"""
What tests of the platform need and the package index does not have: `make test-platform`.

`python3 tests/support/programs.py` says on one line what is missing and how to install it,
and ends with 1 then; with `--packages` it prints the packages only, for `.ci/run`. It runs
before anything is installed, so it imports nothing but the standard library.
"""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

# What is looked for, on the search path or as a file, and the package of Debian with it.
PACKAGES = {
    "promtool": "prometheus",  # tests the chart's alerts
    "jq": "jq",  # makes the runbook's pod to run commands in
    "buildah": "buildah",  # builds the image
    "netavark": "netavark",
    "mmdebstrap": "mmdebstrap",  # makes the image's base
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "npm": "npm",  # fetches AsyncAPI's parser, and what drives the browser
    "chromium": "chromium",  # shows the pages
    "tinyproxy": "tinyproxy-bin",  # a company's proxy
    "krb5kdc": "krb5-kdc",  # signs a worker in to Kafka by Kerberos
    "kadmin.local": "krb5-admin-server",
    "kinit": "krb5-user",
    "krb5-config": "libkrb5-dev",  # the extra `kerberos` is built with it
    "cc": "gcc",
    "java": "default-jre-headless",  # the wheel's lacks jdk.security.jgss
}
IMAGE = (
    "buildah",
    "netavark",
    "mmdebstrap",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/etc/ssl/certs/ca-certificates.crt",
    "root",
)
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/lib/podman:/usr/sbin"  # netavark, krb5kdc


def missing(programs: Iterable[str] = (*PACKAGES, "root")) -> list[str]:
    """Return those that this machine does not have; *root* is the user."""
    return [each for each in programs if not _is_there(each)]


def _is_there(program: str) -> bool:
    if program == "root":
        return os.geteuid() == 0
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=_PATH) is not None


def cure(names: Iterable[str]) -> str:
    """Return one line: what is missing, and what to do about it."""
    wanted = list(names)
    said = f"missing: {', '.join(wanted)}"
    if packages := " ".join(_packages(wanted)):
        said += f": apt-get install --no-install-recommends {packages} (Debian)"
    if "root" in wanted:
        said += "; the image is built and run as root"
    return said


def _packages(names: Iterable[str]) -> list[str]:
    return [PACKAGES[each] for each in names if each in PACKAGES]


def main(arguments: list[str]) -> int:
    """Say what is missing; 1 if anything is."""
    found = missing()
    if arguments == ["--packages"]:
        sys.stdout.write(" ".join(_packages(found)) + "\n")
        return 0
    if found:
        sys.stdout.write(f"{cure(found)}\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
