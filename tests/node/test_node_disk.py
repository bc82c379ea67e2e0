"""Directories: layout, secrets, volumes, containment, removal, sticky data."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path

import pytest

from daemon.model.errors import InvalidInput, NotFound, PermissionDenied
from daemon.model.job import Task, TaskGroup, VolumeMount, VolumeRequest
from daemon.model.node import HostVolume
from daemon.node.disk import mounts
from daemon.node.disk.contain import list_directory, open_file, stat_path
from daemon.node.disk.layout import AllocLayout
from daemon.node.disk.payload import write_payload
from daemon.node.disk.prepare import TaskDirs, explain, move_sticky, prepare, remove, tear_down
from daemon.node.disk.volumes import show, volume_mounts
from daemon.node.env.interpolate import Interpolator, NodeFacts
from plugins.driver import Capabilities, DriverError, Mount

PLAIN = Interpolator({}, NodeFacts(id="n", name="n"))


@pytest.fixture
def layout(data_dir):
    found = AllocLayout(data_dir, "alloc-id")
    yield found
    mounts.unmount_below(found.root)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_directories_and_their_modes(layout):
    for _ in range(2):  # a crash may make it again
        prepare(layout, (TaskDirs(name="web"), TaskDirs(name="image", isolated=True)))
    assert mode(layout.root) == 0o711
    assert mode(layout.shared / "data") == 0o777
    assert mode(layout.shared / "tmp") == 0o1777
    assert mode(layout.task("web") / "private") == 0o700
    assert mode(layout.secrets("web")) == 0o700
    assert mode(layout.secrets("image")) == 0o777


@pytest.mark.root
def test_secrets_are_in_memory_and_gone_at_the_end(layout):
    prepare(layout, (TaskDirs(name="web"),))
    secrets = layout.secrets("web")
    assert mounts.mounts_below(layout.root) == [secrets]
    (secrets / "token").write_text("secret")
    tear_down(layout)
    assert mounts.mounts_below(layout.root) == []
    assert list(secrets.iterdir()) == []


@pytest.mark.root
def test_a_tasks_user_owns_its_directories(layout):
    prepare(layout, (TaskDirs(name="web", user="nobody"),))
    uid = pwd.getpwnam("nobody").pw_uid
    assert layout.secrets("web").stat().st_uid == uid
    assert layout.local("web").stat().st_uid == uid
    with pytest.raises(LookupError, match="no-such-user"):
        prepare(layout, (TaskDirs(name="other", user="no-such-user"),))


def test_what_is_in_the_way_is_not_followed(layout, tmp_path):
    layout.root.parent.mkdir(exist_ok=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    layout.root.symlink_to(elsewhere)
    with pytest.raises(NotADirectoryError):
        prepare(layout, ())
    assert list(elsewhere.iterdir()) == []
    layout.root.unlink()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x"), "No space is left"),
        (OSError(errno.EROFS, "x"), "may not write"),
        (LookupError("user 'x' does not exist on this node"), "user 'x' does not exist"),
    ],
)
def test_failures_are_explained(layout, error, words):
    assert words in explain(error, layout)


@pytest.mark.root
def test_removal_never_reaches_into_a_mounted_volume(layout, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "precious").write_text("x")
    prepare(layout, (TaskDirs(name="web"),))
    wanted = (Mount(host_path=str(volume), task_path="/srv/data", read_only=True),)
    for _ in range(2):
        assert show(wanted, layout.task("web"), Capabilities(), "raw_exec") == ()
    target = layout.task("web") / "srv" / "data"
    assert (target / "precious").read_text() == "x"
    with pytest.raises(OSError) as caught:
        (target / "new").write_text("x")
    assert caught.value.errno == errno.EROFS
    remove(layout)
    assert not layout.root.exists()
    assert (volume / "precious").read_text() == "x"


def test_a_writable_volume_is_a_link_and_removal_leaves_it(layout, tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    prepare(layout, (TaskDirs(name="web"),))
    wanted = (Mount(host_path=str(volume), task_path="local/data"),)
    for _ in range(2):
        show(wanted, layout.task("web"), Capabilities(), "raw_exec")
    (layout.local("web") / "data" / "new").write_text("x")
    remove(layout)
    assert (volume / "new").read_text() == "x"


def test_a_planted_link_is_not_followed_for_a_volume(layout, tmp_path):
    prepare(layout, (TaskDirs(name="web"),))
    (layout.local("web") / "out").symlink_to(tmp_path)
    wanted = (Mount(host_path=str(tmp_path), task_path="local/out/x"),)
    with pytest.raises(DriverError, match="symbolic link"):
        show(wanted, layout.task("web"), Capabilities(), "raw_exec")
    with pytest.raises(DriverError, match="not inside"):
        show((Mount(host_path="/", task_path="../x"),), layout.task("web"), Capabilities(), "raw_exec")


@pytest.mark.parametrize(
    ("host", "request_", "mount", "read_only"),
    [
        (False, False, False, False),
        (True, False, False, True),
        (False, True, False, True),
        (False, False, True, True),
    ],
)
def test_read_only_is_what_any_of_the_three_says(tmp_path, host, request_, mount, read_only):
    group = TaskGroup(name="g", volumes={"v": VolumeRequest(name="v", source="src", read_only=request_)})
    task = Task(
        name="t", driver="d", volume_mounts=(VolumeMount(volume="v", destination="/data", read_only=mount),)
    )
    volumes = {"src": HostVolume(name="src", path=str(tmp_path), read_only=host)}
    [found] = volume_mounts(task, group, volumes, PLAIN, 0)
    assert found.read_only is read_only


def test_volumes_that_are_not_there_say_so(tmp_path):
    task = Task(name="t", driver="d", volume_mounts=(VolumeMount(volume="v", destination="/data"),))
    group = TaskGroup(name="g", volumes={"v": VolumeRequest(name="v", source="src", per_alloc=True)})
    with pytest.raises(DriverError, match=r"no host volume 'src\[2\]' \(it has: other\)"):
        volume_mounts(task, group, {"other": HostVolume(name="other", path="/")}, PLAIN, 2)
    gone = {"src[2]": HostVolume(name="src[2]", path=str(tmp_path / "gone"))}
    with pytest.raises(DriverError, match="is no directory"):
        volume_mounts(task, group, gone, PLAIN, 2)


def test_sticky_data_moves_and_moving_again_harms_nothing(data_dir):
    old, new = AllocLayout(data_dir, "old"), AllocLayout(data_dir, "new")
    try:
        prepare(old, (TaskDirs(name="web"),))
        (old.data / "d").write_text("d")
        (old.local("web") / "l").write_text("l")
        prepare(new, (TaskDirs(name="web"), TaskDirs(name="added")))
        for _ in range(2):
            move_sticky(old, new, ("web", "added"))
        assert (new.data / "d").read_text() == "d"
        assert (new.local("web") / "l").read_text() == "l"
        assert new.local("added").is_dir()
    finally:
        tear_down(old)
        tear_down(new)


# reading from outside


@pytest.fixture
def root(tmp_path):
    (tmp_path / "alloc" / "logs").mkdir(parents=True)
    (tmp_path / "alloc" / "logs" / "web.stdout.0").write_text("hello")
    (tmp_path / "web" / "local").mkdir(parents=True)
    (tmp_path / "web" / "secrets").mkdir()
    (tmp_path / "web" / "secrets" / "token").write_text("secret")
    (tmp_path / "web" / "local" / "out").symlink_to("/etc/passwd")
    (tmp_path / "web" / "local" / "up").symlink_to("..")
    os.mkfifo(tmp_path / "web" / "local" / "fifo")
    return tmp_path


def read(root, path):
    fd = open_file(root, path)
    with os.fdopen(fd, "rb") as file:
        return file.read()


def test_files_inside_are_read_and_listed(root):
    assert read(root, "alloc/logs/web.stdout.0") == b"hello"
    assert read(root, "//alloc/./logs/web.stdout.0") == b"hello"
    assert [info.name for info in list_directory(root, "/")] == ["alloc", "web"]
    [info] = list_directory(root, "alloc/logs/web.stdout.0")
    assert (info.size, info.is_dir, info.file_mode) == (5, False, "-rw-r--r--")
    assert stat_path(root, "/").is_dir
    assert {info.name: info.file_mode[0] for info in list_directory(root, "web/local")} == {
        "fifo": "p",
        "out": "l",
        "up": "l",
    }


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("../x", InvalidInput),
        ("alloc/../../x", InvalidInput),
        ("web/local/out", InvalidInput),
        ("web/local/up/secrets/token", InvalidInput),
        ("web/local/fifo", InvalidInput),
        ("web/secrets/token", PermissionDenied),
        ("/web//secrets/./token", PermissionDenied),
        ("web/private/x", PermissionDenied),
        ("web/nothing", NotFound),
        ("web\0", InvalidInput),
        ("/", InvalidInput),
        ("web", InvalidInput),
    ],
)
def test_nothing_leads_out(root, path, error):
    with pytest.raises(error):
        open_file(root, path)


def test_hidden_directories_are_not_listed(root):
    with pytest.raises(PermissionDenied):
        list_directory(root, "web/secrets")
    with pytest.raises(PermissionDenied):
        stat_path(root, "web/secrets/token")


def test_a_payload_is_written_below_local_only(root, tmp_path):
    local = root / "web" / "local"
    write_payload(local, "in/deep/file", b"one")
    write_payload(local, "/in/deep/file", b"two")
    assert (local / "in/deep/file").read_bytes() == b"two"
    with pytest.raises(DriverError, match="not inside"):
        write_payload(local, "../file", b"x")
    with pytest.raises(OSError):
        write_payload(local, "up/file", b"x")
    with pytest.raises(OSError):
        write_payload(local, "out", b"x")
