"""The raw_exec driver keeps the contract, on real processes."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from plugins import configblock
from plugins.driver import ConfigError, DriverError, TaskNotFound
from plugins.kit import DriverContract, eventually
from plugins.raw_exec.driver import RawExecDriver
from tests.plugins.supervisorkit import is_dead

pytestmark = pytest.mark.slow  # real processes


class TestRawExecContract(DriverContract):
    driver_class = RawExecDriver
    needs_supervisor = True

    def sleeping(self):
        return {"command": "/bin/sleep", "args": ["3600"]}

    def exiting(self, code):
        return {"command": "/bin/sh", "args": ["-c", f"exit {code}"]}

    def broken(self):
        return {"command": "no-such-command"}

    def stubborn(self):
        return {"command": "/bin/sh", "args": ["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]}

    def printing(self, stdout, stderr):
        return {"command": "/bin/sh", "args": ["-c", f"echo '{stdout}'; echo '{stderr}' >&2"]}

    def printing_env(self, name):
        return {"command": "/bin/sh", "args": ["-c", f"echo ${name}"]}

    def echo_argv(self):
        return ["cat"]

    def failing_argv(self, code):
        return ["sh", "-c", f"exit {code}"]


def play(root, story, contract=None, **settings):
    contract = contract or TestRawExecContract()
    contract.plugin_settings = lambda: settings
    contract.play(root, story)


def shell(script, **more):
    return {"command": "/bin/sh", "args": ["-c", script], **more}


async def output(bench, config, **changes):
    task = bench.task(config, **changes)
    await bench.driver.start(task)
    result = await bench.driver.wait(task.id)
    await bench.driver.destroy(task.id)
    assert result.successful, (result, bench.log(task, "stderr"))
    return bench.log(task, "stdout").decode()


def test_off_unless_asked_for(tmp_path):
    async def story(bench):
        context = msgspec.structs.replace(bench.driver.context, dev=False)
        driver = RawExecDriver(context)
        found = await driver.fingerprint()
        assert found.health == "undetected" and "enabled = true" in found.description
        assert found.attributes == {"driver.raw_exec": ""}
        with pytest.raises(DriverError, match="disabled"):
            await driver.start(bench.task(shell("true")))
        enabled = RawExecDriver(msgspec.structs.replace(context, config={"enabled": True}))
        assert (await enabled.fingerprint()).health == "healthy"

    play(tmp_path, story)


def test_command_is_looked_for(tmp_path):
    async def story(bench):
        with pytest.raises(
            DriverError, match=r"looked for an executable 'webserver' in .*/local, .*/web, /usr/sbin"
        ) as caught:
            await bench.driver.start(bench.task({"command": "webserver"}))
        assert not caught.value.recoverable
        with pytest.raises(DriverError, match="not an executable file"):
            await bench.driver.start(bench.task({"command": "/etc/passwd"}))
        task = bench.task({"command": "tool"})
        tool = Path(task.task_dir) / "local/tool"
        tool.write_text("#!/bin/sh\npwd; exit 5\n")
        tool.chmod(0o755)
        await bench.driver.start(task)
        assert (await bench.driver.wait(task.id)).exit_code == 5
        assert bench.log(task, "stdout").decode().strip() == task.task_dir
        await bench.driver.destroy(task.id)
        tool.write_text("no interpreter named here")
        with pytest.raises(DriverError, match="#!"):
            await bench.driver.start(task)

    play(tmp_path, story)


def test_work_dir_user_and_environment(tmp_path):
    async def story(bench):
        assert await output(bench, shell("pwd", work_dir="/usr")) == "/usr\n"
        with pytest.raises(DriverError, match="work_dir '/no/such'"):
            await bench.driver.start(bench.task(shell("pwd", work_dir="/no/such")))
        with pytest.raises(DriverError, match="absolute"):
            await bench.driver.start(bench.task(shell("pwd", work_dir="here")))
        env = {"PATH": "/usr/bin:/bin", "AWS_KEY": "1", "AWS_ID": "2", "KEEP": "3", "TOKEN": "4"}
        text = await output(bench, shell("env", denied_envvars=["AWS_*"]), env=env)
        assert "KEEP=3" in text and "AWS" not in text and "TOKEN" not in text

    play(tmp_path, story, denied_envvars=["TOKEN"])


@pytest.mark.root
def test_user_is_honoured_and_may_be_denied(tmp_path):
    async def story(bench):
        for parent in (tmp_path, *tmp_path.parents):
            if str(parent).startswith("/tmp/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        assert await output(bench, shell("id -un; id -gn"), user="nobody") == "nobody\nnogroup\n"
        assert await output(bench, shell("id -u; id -g"), user="12345:54321") == "12345\n54321\n"
        with pytest.raises(DriverError, match="denied_host_uids"):
            await bench.driver.start(bench.task(shell("id"), user="daemon"))
        with pytest.raises(DriverError, match="denied_host_gids"):
            await bench.driver.start(bench.task(shell("id"), user="nobody:bin"))
        with pytest.raises(DriverError, match="'nobody-knows' does not exist"):
            await bench.driver.start(bench.task(shell("id"), user="nobody-knows"))

    play(tmp_path, story, denied_host_uids="1-1", denied_host_gids="2")


@pytest.mark.root
def test_oom_score_and_cgroups(tmp_path):
    async def story(bench):
        machine, why = bench.supervisor.cgroups()
        if why:
            pytest.skip(why)
        script = "cat /proc/self/oom_score_adj; cat /proc/self/cgroup"
        text = await output(bench, shell(script, oom_score_adj=321))
        assert text.startswith("321\n") and f"/{bench.supervisor.cgroup_parent}/" in text
        if machine.version == 1:
            own = Path(machine.roots["pids"]) / f"encamp-override-{os.getpid()}"
            own.mkdir()
            try:
                text = await output(bench, shell(script, cgroup_v1_override={"pids": own.name}))
                assert f"pids:/{own.name}\n" in text and bench.supervisor.cgroup_parent not in text
                assert own.exists(), "a group that is not ours is never removed"
                with pytest.raises(DriverError, match="not a cgroup"):
                    await bench.driver.start(
                        bench.task(shell("true", cgroup_v1_override={"pids": "nowhere"}))
                    )
                with pytest.raises(DriverError, match="'colours' is not mounted"):
                    await bench.driver.start(bench.task(shell("true", cgroup_v1_override={"colours": "x"})))
            finally:
                own.rmdir()

    play(tmp_path, story)


def test_what_a_task_forks_dies_with_it(tmp_path):
    """With and without cgroups."""

    async def story(bench):
        script = "(setsid sh -c 'echo $$ > pid; exec sleep 6000' &); echo up; exec sleep 6000"
        task = bench.task(shell(script))
        await bench.driver.start(task)
        pid_file = Path(task.task_dir) / "pid"
        await eventually(lambda: pid_file.exists() and pid_file.read_text().strip(), "the daemon is there")
        stats = await bench.driver.stats(task.id)
        assert stats.pids >= 2 and stats.memory_rss_bytes > 0
        await bench.driver.stop(task.id, "SIGTERM", 10)
        await is_dead(int(pid_file.read_text()))
        with pytest.raises(TaskNotFound):
            await bench.driver.stats(task.id)
        await bench.driver.destroy(task.id)

    play(tmp_path / "a", story)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plugins.supervisor.client.find_machine", lambda: None)
        play(tmp_path / "b", story)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"command": ""}, "command"),
        ({}, "command"),
        ({"command": "x", "comand": 1}, "comand"),
        ({"command": "x", "oom_score_adj": 2000}, "oom_score_adj"),
        ({"command": "x", "args": "not a list"}, "args"),
    ],
)
def test_config_errors_name_the_key(config, path):
    with pytest.raises(ConfigError) as caught:
        configblock.decode(RawExecDriver.task_config, config)
    assert caught.value.problems[0][0] == path


@pytest.mark.parametrize("text", ["x", "5-", "9-3", "1,,b"])
def test_plugin_config_errors(text):
    with pytest.raises(ConfigError, match="denied_host_uids"):
        configblock.decode(RawExecDriver.plugin_config, {"denied_host_uids": text})
