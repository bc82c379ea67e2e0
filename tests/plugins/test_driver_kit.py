"""The conformance kit can fail: drivers that break one rule each are caught by the test of that rule."""

from __future__ import annotations

import asyncio

import pytest

from plugins.driver import DriverError, ExitResult, TaskHandle, TaskNotFound, TaskStats
from plugins.kit import DriverContract
from plugins.mock_driver.config import MockConfig
from plugins.mock_driver.driver import MockDriver
from tests.plugins.test_mock_driver import TestMockContract as _MockContract

pytestmark = pytest.mark.slow  # real processes


class Forgetful(MockDriver):
    async def recover(self, handle: TaskHandle) -> None:
        raise TaskNotFound("what task?")


class Deaf(MockDriver):
    async def stop(self, task_id: str, signal: str, timeout_s: float) -> None:
        await asyncio.sleep(0)


class Mute(MockDriver):
    async def start(self, task):
        try:
            return await super().start(task)
        except DriverError:
            return TaskHandle(driver=self.name, task_id=task.id)


class Careless(MockDriver):
    async def destroy(self, task_id: str) -> None:
        await asyncio.sleep(0)


class Liar(MockDriver):
    async def wait(self, task_id: str) -> ExitResult:
        await super().wait(task_id)
        return ExitResult()

    async def stats(self, task_id: str) -> TaskStats:
        return TaskStats(timestamp_ns=1)


class LooseConfig(MockConfig, frozen=True, kw_only=True, forbid_unknown_fields=False):
    pass


class Loose(MockDriver):
    task_config = LooseConfig


class Sharp(MockDriver):
    async def signal(self, task_id: str, signal: str) -> None:
        self._known(task_id)


@pytest.mark.parametrize(
    ("driver", "test"),
    [
        (Forgetful, "test_recover_from_the_handle"),
        (Forgetful, "test_recover_an_ended_task"),
        (Deaf, "test_stop_is_gentle_first"),
        (Deaf, "test_stop_kills_after_the_timeout"),
        (Mute, "test_failed_start_says_why_and_leaves_nothing"),
        (Careless, "test_destroy_kills_what_runs"),
        (Liar, "test_exit_code_is_told_again_and_again"),
        (Liar, "test_unknown_task"),
        (Loose, "test_declares_itself"),
        (Sharp, "test_signals_by_name"),
    ],
)
def test_a_broken_driver_fails(tmp_path, driver, test):
    class Contract(_MockContract):
        driver_class = driver
        deadline_s = 2.0

    method = getattr(Contract(), test)
    with pytest.raises((AssertionError, TimeoutError, DriverError)):
        method(tmp_path) if test != "test_declares_itself" else method()


def test_required_scenarios_are_asked_for(tmp_path):
    class Empty(DriverContract):
        driver_class = MockDriver

    with pytest.raises(AssertionError, match="must give `sleeping`"):
        Empty().test_stop_is_gentle_first(tmp_path)
