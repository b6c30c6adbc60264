"""A sandbox for every test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import sandboxes
from tests.sandboxes import Site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with sandboxes.site(tmp_path) as found:
        yield found
