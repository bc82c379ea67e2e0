"""The driver conformance kit: the tests that every task driver must pass, built-in or third party.

Use, in a pytest file of your own:

    from plugins.kit import DriverContract

    class TestMine(DriverContract):
        driver_class = MyDriver
        def sleeping(self): return {"command": "/bin/sleep", "args": ["600"]}
        ...

Theory: each test gets its own driver, supervisor and directories below `tmp_path` and runs on a loop of its
own with a deadline. A scenario that the driver cannot express returns None, and its test is skipped;
`sleeping`, `exiting` and `broken` are required. After every test nothing of it may be left: tasks known to
the supervisor are a failure.

Not here: what only one driver promises. Needs pytest to run, and nothing of it to be imported.
Source: the rules in plugins/driver.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from plugins.driver import Driver, DriverError, TaskHandle, TaskNotFound
from plugins.kit_bench import Bench, Scenario, ScriptedIO, eventually

__all__ = ["Bench", "DriverContract", "Scenario", "ScriptedIO", "eventually"]


class DriverContract:
    """Subclass it, name it `Test...`, and give the scenarios."""

    driver_class: ClassVar[type[Driver]]
    needs_supervisor: ClassVar[bool] = False
    #: longest time that one test may take.
    deadline_s: ClassVar[float] = 60.0

    # -- scenarios: `config` blocks
    # --------------------------------------------------------------------------------

    def plugin_settings(self) -> dict[str, Any]:
        """Return the agent's plugin block."""
        return {}

    def sleeping(self) -> Scenario:
        """Return a task that runs until it is stopped, and ends on SIGTERM."""
        raise AssertionError("a subclass must give `sleeping`")

    def exiting(self, code: int) -> Scenario:
        """Return a task that ends at once with an exit code."""
        raise AssertionError("a subclass must give `exiting`")

    def broken(self) -> Scenario:
        """Return a task that cannot be started."""
        raise AssertionError("a subclass must give `broken`")

    def stubborn(self) -> Scenario | None:
        """Return a task that does not end on SIGTERM. It prints `ready` when it would ignore the signal."""
        return None

    def printing(self, stdout: str, stderr: str) -> Scenario | None:
        """Return a task that writes both texts and ends with 0."""
        return None

    def printing_env(self, name: str) -> Scenario | None:
        """Return a task that prints a variable of its environment and ends."""
        return None

    def echo_argv(self) -> list[str] | None:
        """Return a command that copies its input to its output, for `exec` in a sleeping task."""
        return None

    def failing_argv(self, code: int) -> list[str] | None:
        """Return a command that ends with a code, for `exec`."""
        return None

    # -- machinery
    # -------------------------------------------------------------------------------------------------

    def play(self, root: Path, story: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
        """Run one test on a fresh bench."""

        async def all_of_it() -> None:
            bench = Bench(self, root)
            async with asyncio.timeout(self.deadline_s):
                await bench.open()
                try:
                    await story(bench)
                finally:
                    await bench.close()

        asyncio.run(all_of_it())

    @staticmethod
    def need(scenario: Any) -> Any:
        """Skip the test when the driver has no such scenario."""
        if scenario is None:
            import pytest

            pytest.skip("this driver has no such scenario")
        return scenario

    # -- what it says of itself
    # --------------------------------------------------------------------------------------

    def test_declares_itself(self) -> None:
        """Name and configuration structs are there, and unknown keys are refused."""
        assert self.driver_class.name
        for kind in (self.driver_class.task_config, self.driver_class.plugin_config):
            assert kind is None or kind.__struct_config__.forbid_unknown_fields, (
                f"{kind} takes unknown keys silently"
            )

    def test_fingerprint_is_quick_and_healthy(self, tmp_path: Path) -> None:
        """It works where its tests run."""

        async def story(bench: Bench) -> None:
            found = await asyncio.wait_for(bench.driver.fingerprint(), 5.0)
            assert found.health == "healthy", found.description
            assert found.attributes.get(f"driver.{bench.driver.name}")

        self.play(tmp_path, story)

    # -- start and end
    # -----------------------------------------------------------------------------------------------

    def test_exit_code_is_told_again_and_again(self, tmp_path: Path) -> None:
        """The result is there for everyone who waits, until destroy."""

        async def story(bench: Bench) -> None:
            for code in (0, 7):
                task = bench.task(self.exiting(code))
                await bench.driver.start(task)
                results = await asyncio.gather(*(bench.driver.wait(task.id) for _ in range(3)))
                results.append(await bench.driver.wait(task.id))
                assert {(result.exit_code, result.signal, result.error) for result in results} == {
                    (code, 0, "")
                }
                assert results[0].successful == (code == 0)
                await bench.driver.stop(task.id, "SIGTERM", 1.0)
                await bench.driver.destroy(task.id)
                await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_failed_start_says_why_and_leaves_nothing(self, tmp_path: Path) -> None:
        """An expected failure is a DriverError with a text."""

        async def story(bench: Bench) -> None:
            task = bench.task(self.broken())
            try:
                await bench.driver.start(task)
            except DriverError as error:
                assert len(error.message) > 10
            else:
                raise AssertionError("the start of a broken task succeeded")
            with contextlib.suppress(TaskNotFound):
                await bench.driver.wait(task.id)
                raise AssertionError("a task that failed to start can be waited for")

        self.play(tmp_path, story)

    def test_unknown_config_key_is_refused(self, tmp_path: Path) -> None:
        """A key that the driver does not act on is an error, not ignored."""

        async def story(bench: Bench) -> None:
            with contextlib.suppress(DriverError):
                await bench.driver.start(bench.task({**self.sleeping(), "no_such_key": 1}))
                raise AssertionError("an unknown key was taken")

        self.play(tmp_path, story)

    def test_second_start_takes_over(self, tmp_path: Path) -> None:
        """`start` is idempotent per id."""

        async def story(bench: Bench) -> None:
            task = bench.task(self.sleeping())
            first = await bench.driver.start(task)
            again = (
                await bench.new_driver().start(task)
                if self.needs_supervisor
                else await bench.driver.start(task)
            )
            assert first.task_id == again.task_id == task.id
            await bench.driver.stop(task.id, "SIGTERM", 5.0)
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_unknown_task(self, tmp_path: Path) -> None:
        """Questions about a task that never was raise TaskNotFound; stop and destroy are idempotent."""

        async def story(bench: Bench) -> None:
            asks = (
                lambda: bench.driver.wait("no/such/0"),
                lambda: bench.driver.stats("no/such/0"),
                lambda: bench.driver.signal("no/such/0", "SIGHUP"),
                lambda: bench.driver.recover(TaskHandle(driver=bench.driver.name, task_id="no/such/0")),
            )
            for ask in asks:
                with contextlib.suppress(TaskNotFound):
                    await ask()
                    raise AssertionError("an unknown task was known")
            await bench.driver.stop("no/such/0", "SIGTERM", 1.0)
            await bench.driver.destroy("no/such/0")

        self.play(tmp_path, story)

    # -- stop and signals
    # --------------------------------------------------------------------------------------------

    def test_stop_is_gentle_first(self, tmp_path: Path) -> None:
        """A task that listens to the signal ends long before the timeout."""

        async def story(bench: Bench) -> None:
            task = bench.task(self.sleeping())
            await bench.driver.start(task)
            began_s = time.monotonic()
            await bench.driver.stop(task.id, "SIGTERM", 30.0)
            assert time.monotonic() - began_s < 20.0
            result = await bench.driver.wait(task.id)
            assert not result.successful and not result.oom_killed
            await bench.driver.stop(task.id, "SIGTERM", 1.0)
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_stop_kills_after_the_timeout(self, tmp_path: Path) -> None:
        """A task that ignores the signal is killed."""
        config = self.need(self.stubborn())

        async def story(bench: Bench) -> None:
            task = bench.task(config)
            await bench.driver.start(task)
            await eventually(lambda: b"ready" in bench.log(task, "stdout"), "the stubborn task is ready")
            began_s = time.monotonic()
            await bench.driver.stop(task.id, "SIGTERM", 0.5)
            assert 0.4 < time.monotonic() - began_s < 20.0
            assert (await bench.driver.wait(task.id)).signal == 9
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_destroy_kills_what_runs(self, tmp_path: Path) -> None:
        """After destroy the id is unknown and free again."""

        async def story(bench: Bench) -> None:
            task = bench.task(self.sleeping())
            await bench.driver.start(task)
            await bench.driver.destroy(task.id)
            with contextlib.suppress(TaskNotFound):
                await bench.driver.wait(task.id)
                raise AssertionError("a destroyed task can be waited for")
            await bench.driver.start(task)
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_signals_by_name(self, tmp_path: Path) -> None:
        """Known names are sent, others are an error."""

        async def story(bench: Bench) -> None:
            if not bench.driver.capabilities.send_signals:
                return
            task = bench.task(self.sleeping())
            await bench.driver.start(task)
            await bench.driver.signal(task.id, "SIGWINCH")
            with contextlib.suppress(DriverError):
                await bench.driver.signal(task.id, "SIGNONSENSE")
                raise AssertionError("a signal that does not exist was sent")
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_wait_may_be_cancelled(self, tmp_path: Path) -> None:
        """A cancelled wait disturbs neither the task nor later waits."""

        async def story(bench: Bench) -> None:
            task = bench.task(self.sleeping())
            await bench.driver.start(task)
            for _ in range(3):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(bench.driver.wait(task.id), 0.05)
                    raise AssertionError("a sleeping task ended")
            waiting = asyncio.ensure_future(bench.driver.wait(task.id))
            await bench.driver.stop(task.id, "SIGTERM", 5.0)
            assert not (await waiting).successful
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    # -- restart of the agent
    # ----------------------------------------------------------------------------------------

    def test_recover_from_the_handle(self, tmp_path: Path) -> None:
        """A new driver object takes the task back from its handle after JSON."""

        async def story(bench: Bench) -> None:
            task = bench.task(self.sleeping())
            handle = await bench.driver.start(task)
            await bench.driver.close()
            bench.driver = bench.new_driver()
            await bench.driver.recover(msgspec.json.decode(msgspec.json.encode(handle), type=TaskHandle))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(bench.driver.wait(task.id), 0.1)
                raise AssertionError("the task ended while the agent was away")
            assert (await bench.driver.stats(task.id)).timestamp_ns > 0
            await bench.driver.stop(task.id, "SIGTERM", 5.0)
            assert not (await bench.driver.wait(task.id)).error
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_recover_an_ended_task(self, tmp_path: Path) -> None:
        """The exit code of a task that ended meanwhile is not lost."""

        async def story(bench: Bench) -> None:
            task = bench.task(self.exiting(3))
            handle = await bench.driver.start(task)
            await bench.driver.wait(task.id)
            await bench.driver.close()
            bench.driver = bench.new_driver()
            await bench.driver.recover(handle)
            assert (await bench.driver.wait(task.id)).exit_code == 3
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    # -- output, environment, statistics, exec
    # -------------------------------------------------------------------------

    def test_output_is_in_the_logs(self, tmp_path: Path) -> None:
        """Each stream lands in its own file."""
        config = self.need(self.printing("to stdout", "to stderr"))

        async def story(bench: Bench) -> None:
            task = bench.task(config)
            await bench.driver.start(task)
            assert (await bench.driver.wait(task.id)).successful
            await eventually(lambda: b"to stdout" in bench.log(task, "stdout"), "stdout is logged")
            await eventually(lambda: b"to stderr" in bench.log(task, "stderr"), "stderr is logged")
            assert b"to stderr" not in bench.log(task, "stdout")
            await bench.driver.destroy(task.id)
            assert b"to stdout" in bench.log(task, "stdout"), "destroy must leave the logs"

        self.play(tmp_path, story)

    def test_environment_is_given(self, tmp_path: Path) -> None:
        """The task sees its variables."""
        config = self.need(self.printing_env("KIT"))

        async def story(bench: Bench) -> None:
            task = bench.task(config)
            await bench.driver.start(task)
            await bench.driver.wait(task.id)
            await eventually(lambda: b"conformance" in bench.log(task, "stdout"), "the variable is printed")
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_exec_copies_and_tells_the_code(self, tmp_path: Path) -> None:
        """Input reaches the command, output and exit code come back."""
        echo = self.need(self.echo_argv())

        async def story(bench: Bench) -> None:
            task = bench.task(self.sleeping())
            await bench.driver.start(task)
            io = ScriptedIO(b"over and out\n" * 10_000)
            result = await bench.driver.exec(task.id, echo, tty=False, io=io)
            assert result.successful, result
            assert io.stdout == b"over and out\n" * 10_000
            if failing := self.failing_argv(9):
                assert (await bench.driver.exec(task.id, failing, tty=False, io=ScriptedIO())).exit_code == 9
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)

    def test_exec_can_be_cancelled(self, tmp_path: Path) -> None:
        """A caller who goes away ends the command, and the driver stays usable."""
        echo = self.need(self.echo_argv())

        async def story(bench: Bench) -> None:
            task = bench.task(self.sleeping())
            await bench.driver.start(task)
            with contextlib.suppress(TimeoutError):
                io = ScriptedIO(b"x", hold=True)
                await asyncio.wait_for(bench.driver.exec(task.id, echo, tty=False, io=io), 1.0)
                raise AssertionError("a command with open input ended")
            assert (await bench.driver.exec(task.id, echo, tty=False, io=ScriptedIO(b"y"))).successful
            await bench.driver.destroy(task.id)

        self.play(tmp_path, story)
