"""The wheel, built and installed into a clean environment, runs a job from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, wait_for
from tests.e2e.jobs import service

pytestmark = pytest.mark.slow


def test_the_wheel_runs_a_job(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(sources)], check=True)
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(wheels), str(sources)]
    subprocess.run(build, check=True, capture_output=True, timeout=300)
    [wheel] = wheels.glob("*.whl")
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    )
    assert "tests/" not in names.stdout and "contrib/" not in names.stdout

    clean = tmp_path / "clean"
    venv.create(clean, with_pip=True)
    python = clean / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", str(wheel)], check=True, capture_output=True, timeout=300
    )

    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ENCAMP_", "PYTHON"))}
    data = tmp_path / "data"
    config = tmp_path / "agent.hcl"
    config.write_text(f'data_dir = "{data}"\nports {{\n  rpc = 0\n}}\n')
    encamp = str(clean / "bin" / "encamp")
    command = {**environment, "ENCAMP_ADDR": f"ipc://{data}/agent.sock"}
    log = (tmp_path / "log").open("wb")
    agent = subprocess.Popen(
        [encamp, "agent", "-dev", "-config", str(config)],
        stdout=log,
        stderr=log,
        env=environment,
        cwd=tmp_path,
    )
    log.close()
    try:

        def ready() -> bool:
            assert agent.poll() is None, (tmp_path / "log").read_text()
            done = subprocess.run(
                [encamp, "node", "status", "-json"],
                env=command,
                capture_output=True,
                check=False,
                cwd=tmp_path,
            )
            return done.returncode == 0 and any(n["Status"] == "ready" for n in json.loads(done.stdout))

        wait_for("the agent", ready)
        job = tmp_path / "job.hcl"
        job.write_text(service("packed"))
        done = subprocess.run(
            [encamp, "job", "run", str(job)],
            env=command,
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        agent.terminate()
        agent.wait(30)
