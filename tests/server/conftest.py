"""Fixtures of the server tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.server.serverkit import Kit


@pytest.fixture
async def kit() -> AsyncIterator[Kit]:
    kit = await Kit().start()
    yield kit
    await kit.close()
