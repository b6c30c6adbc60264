"""`jetworker demo --keep`: what it prints works as printed, and Ctrl-C ends it cleanly."""

import pytest

from tests.support.demo import Shown

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def test_every_line_that_the_kept_demo_prints_works_and_ctrl_c_ends_it(
    demo: Shown,
) -> None:
    assert [(line, code, said) for line, code, said in demo.ran if code != 0] == []
    assert demo.ran[-1][2] == "again\n"
    assert {"send", "list", "explain", "check", "watch"} <= {
        word for line, *_ in demo.ran for word in line.split()
    }
    assert demo.pages == [200, 200]
    assert demo.code == 0
