"""Fixtures of the node's tests."""

from __future__ import annotations

import pytest

from daemon.node.disk.mounts import mounts_below


@pytest.fixture
def data_dir(tmp_path):
    """A data directory; nothing may be mounted below it at the end."""
    yield tmp_path
    assert mounts_below(tmp_path) == []
