"""One helper for all tests that only look at layers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serve.helper import Helper


@pytest.fixture(scope="session")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helper]:
    """A helper that says nothing on stderr."""
    with Helper(tmp_path_factory.mktemp("buffers")) as started:
        yield started
        assert started.close() == 0
        assert started.errors == ""
