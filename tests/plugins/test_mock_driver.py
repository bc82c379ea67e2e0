"""The mock driver keeps the contract, and its script is obeyed."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from plugins import configblock
from plugins.driver import ConfigError, DriverError, ExitResult
from plugins.kit import DriverContract, ScriptedIO, eventually
from plugins.mock_driver.config import MockConfig, seconds
from plugins.mock_driver.driver import MockDriver


class TestMockContract(DriverContract):
    driver_class = MockDriver

    def sleeping(self):
        return {"run_for": "1h", "exec_command": {}}

    def exiting(self, code):
        return {"run_for": "10ms", "exit_code": code}

    def broken(self):
        return {"start_error": "scripted to fail"}

    def stubborn(self):
        return {"run_for": "1h", "kill_after": "1h", "stdout_string": "ready"}

    def printing(self, stdout, stderr):
        return {"run_for": "50ms", "stdout_string": stdout, "stderr_string": stderr}

    def echo_argv(self):
        return ["cat"]


def play(root, story):
    TestMockContract().play(root, story)


@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0), ("10s", 10), ("1m30s", 90), ("1.5h", 5400), ("200ms", 0.2), ("5us", 5e-6), ("1000000000", 1)],
)
def test_durations(text, value):
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["10", "-1s", "1x", "s", "1s junk", "1 s"])
def test_bad_durations_name_the_key(text):
    if text == "10":
        assert configblock.decode(MockConfig, {"run_for": text}).run_for == "10"
        return
    with pytest.raises(ConfigError, match="run_for"):
        configblock.decode(MockConfig, {"run_for": text})
    with pytest.raises(ConfigError, match=r"exec_command\.run_for"):
        configblock.decode(MockConfig, {"exec_command": {"run_for": text}})


def test_script_of_a_start(tmp_path):
    async def story(bench):
        with pytest.raises(DriverError, match="no luck") as caught:
            await bench.driver.start(bench.task({"start_error": "no luck", "start_error_recoverable": True}))
        assert caught.value.recoverable
        slow = bench.task({"start_block_for": "1h", "run_for": "1h"})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(bench.driver.start(slow), 0.05)
        await bench.driver.destroy(slow.id)

    play(tmp_path, story)


def test_script_of_an_end(tmp_path):
    async def story(bench):
        for config, expected in (
            ({"exit_code": 3}, ExitResult(exit_code=3)),
            ({"exit_signal": 9}, ExitResult(signal=9)),
            ({"exit_err_msg": "lost it"}, ExitResult(error="lost it")),
        ):
            task = bench.task(config)
            await bench.driver.start(task)
            assert await bench.driver.wait(task.id) == expected
            await bench.driver.destroy(task.id)
        task = bench.task({"run_for": "1h", "kill_after": "50ms", "signal_error": "deaf"})
        await bench.driver.start(task)
        with pytest.raises(DriverError, match="deaf"):
            await bench.driver.signal(task.id, "SIGHUP")
        await bench.driver.stop(task.id, "SIGINT", 5)
        assert (await bench.driver.wait(task.id)).signal == 2
        await bench.driver.destroy(task.id)

    play(tmp_path, story)


def test_output_again_and_again(tmp_path):
    async def story(bench):
        script = {
            "stdout_string": "tick\n",
            "stdout_repeat": 3,
            "stdout_repeat_duration": "5ms",
            "run_for": "1h",
        }
        task = bench.task(script)
        await bench.driver.start(task)
        await eventually(lambda: bench.log(task, "stdout") == b"tick\n" * 4, "four ticks")
        await bench.driver.destroy(task.id)

    play(tmp_path, story)


def test_scripted_command(tmp_path):
    async def story(bench):
        command = {"stdout_string": "out", "stderr_string": "err", "stdout_repeat": 1, "exit_code": 4}
        task = bench.task({"run_for": "1h", "exec_command": command})
        await bench.driver.start(task)
        io = ScriptedIO()
        assert (await bench.driver.exec(task.id, ["any"], tty=False, io=io)).exit_code == 4
        assert (io.stdout, io.stderr) == (b"outout", b"err")
        await bench.driver.destroy(task.id)

    play(tmp_path, story)


def test_recovered_where_the_clock_says(tmp_path):
    async def story(bench):
        task = bench.task({"run_for": "10m", "exit_code": 5})
        handle = await bench.driver.start(task)
        await bench.driver.close()
        bench.driver = bench.new_driver()
        later = handle.state["started_at"] + 11 * 60 * 10**9
        bench.driver.now_ns = lambda: later
        await bench.driver.recover(handle)
        assert (await asyncio.wait_for(bench.driver.wait(task.id), 5)).exit_code == 5
        await bench.driver.destroy(task.id)

    play(tmp_path, story)


def test_undetected_outside_dev_mode(tmp_path):
    async def story(bench):
        driver = MockDriver(msgspec.structs.replace(bench.driver.context, dev=False))
        assert (await driver.fingerprint()).health == "undetected"

    play(tmp_path, story)
