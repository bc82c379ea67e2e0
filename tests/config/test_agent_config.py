"""Agent configuration: layers, both dialects and JSON, every reason not to start."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.config.load import ConfigErrors, load_config
from daemon.config.ranges import parse_ranges
from daemon.config.settings import AgentConfig, HostNetwork, HostVolume, Reserved, Settings
from daemon.config.tables import AGENT, CLIENT, SUPPORT

ROOT = Path(__file__).parents[2]
MINIMAL = 'data_dir = "/var/lib/x"\nserver { enabled = true }\n'

FULL = """
data_dir   = "/var/lib/encamp"
bind_addr  = "127.0.0.2"
name       = "n1"
region     = "eu"
datacenter = "dc7"
log_level  = "warn"
log_json   = true
log_file   = "/var/log/encamp/"
log_rotate_bytes     = 1000000
log_rotate_duration  = "12h"
log_rotate_max_files = 5
ports {
  http = 1
  rpc  = 2
  serf = 3
  raft = 4
}
server {
  enabled                 = true
  bootstrap_expect        = 1
  num_schedulers          = 3
  job_gc_interval         = "1m"
  job_gc_threshold        = "2m"
  eval_gc_threshold       = "3m"
  batch_eval_gc_threshold = "4m"
  deployment_gc_threshold = "5m"
  node_gc_threshold       = "6m"
}
client {
  enabled    = true
  servers    = ["127.0.0.1:4647"]
  node_class = "big"
  node_pool  = "gpu"
  meta {
    rack = "r1"
    "unique.id" = "7"
  }
  reserved {
    cpu            = 500
    memory         = 256
    disk           = 1024
    reserved_ports = "22,80-82"
    cores          = "0-1"
  }
  host_volume "data" {
    path      = "/srv/data"
    read_only = true
  }
  host_network "public" {
    cidr           = "203.0.113.0/24"
    interface      = "eth1"
    reserved_ports = "22,80-81"
  }
  gc_interval              = "30s"
  gc_disk_usage_threshold  = 70.5
  gc_inode_usage_threshold = 60
  gc_max_allocs            = 10
  gc_parallel_destroys     = 4
  min_dynamic_port         = 25000
  max_dynamic_port         = 26000
  max_kill_timeout         = "1m"
  cpu_total_compute        = 8000
  memory_total_mb          = 4096
  disk_total_mb            = 100000
  network_interface        = "eth0"
  alloc_dir                = "/srv/alloc"
  state_dir                = "/srv/state"
}
plugin "docker" {
  config {
    allow_privileged = true
    gc { image_delay = "10m" }
  }
}
"""


def load(text: str = "", *, tmp_path: Path, name: str = "c.hcl", **options: Any) -> AgentConfig:
    path = tmp_path / name
    path.write_text(text)
    return load_config([path], **options)


def errors_of(text: str, *, tmp_path: Path, **options: Any) -> str:
    with pytest.raises(ConfigErrors) as caught:
        load(text, tmp_path=tmp_path, **options)
    return str(caught.value)


def test_dev_needs_no_file() -> None:
    config = load_config([], dev=True)
    assert (config.dev, config.server.enabled, config.client.enabled) == (True, True, True)
    assert config.log.level == "DEBUG"
    assert config.plugins == {"raw_exec": {"enabled": True}}
    assert config.client.gc_interval_s == 600
    assert config.client.gc_disk_usage_threshold == config.client.gc_inode_usage_threshold == 99
    assert config.name == socket.gethostname()
    assert config.server.num_schedulers >= 1


def test_defaults_outside_dev(tmp_path: Path) -> None:
    config = load(MINIMAL, tmp_path=tmp_path)
    assert config.bind_addr == "127.0.0.1"
    assert (config.ports.http, config.ports.rpc, config.ports.serf, config.ports.raft) == (
        4646,
        4647,
        4648,
        4650,
    )
    assert (config.client.min_dynamic_port, config.client.max_dynamic_port) == (20000, 32000)
    assert config.server.job_gc_threshold_s == 4 * 3600
    assert config.plugins == {}
    assert not config.client.enabled


def test_every_setting_is_read(tmp_path: Path) -> None:
    config = load(FULL, tmp_path=tmp_path)
    defaults = AgentConfig()

    def same(held: Settings, default: Settings, path: str = "") -> list[str]:
        result = []
        for name in held.__struct_fields__:
            value, other = getattr(held, name), getattr(default, name)
            if isinstance(value, Settings):
                result += same(value, other, f"{path}{name}.")
            elif value == other:
                result.append(path + name)
        return result

    assert same(config, defaults) == ["dev", "server.bootstrap_expect", "warnings"]
    assert config.client.reserved == Reserved(
        cpu=500, memory_mb=256, disk_mb=1024, ports=(22, 80, 81, 82), cores=(0, 1)
    )
    assert config.client.host_volumes == {"data": HostVolume(path="/srv/data", read_only=True)}
    assert config.client.host_networks == {
        "public": HostNetwork(cidr="203.0.113.0/24", interface="eth1", reserved_ports=(22, 80, 81))
    }
    assert config.client.meta == {"rack": "r1", "unique.id": "7"}
    assert config.log.rotate_duration_s == 12 * 3600
    assert config.log.level == "WARN"
    assert config.log.format == "json"
    assert config.plugins["docker"]["allow_privileged"] is True


def test_json_is_known_by_its_content(tmp_path: Path) -> None:
    text = '{"data_dir": "/x", "server": [{"enabled": true}], "client": {"meta": {"a": "b"}, "reserved": {"cpu": 5}}}'
    config = load(text, tmp_path=tmp_path, name="without_suffix")
    assert config.server.enabled
    assert config.client.meta == {"a": "b"}
    assert config.client.reserved.cpu == 5


def test_later_layers_win_and_maps_are_merged(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "b.hcl").write_text('name = "b"\nclient { meta { x = "b" } host_volume "two" { path = "/2" } }')
    (folder / "a.json").write_text('{"name": "a", "region": "ra", "client": {"meta": {"x": "a", "y": "a"}}}')
    (folder / "c.hcl").write_text('plugin "raw_exec" { config { denied_envvars = ["A"] } }')
    for junk in (".hidden.hcl", "x.hcl~", "#x.hcl#", "notes.txt", "x.hcl.swp"):
        (folder / junk).write_text("this is { not configuration")
    (folder / "sub.hcl").mkdir()
    extra = tmp_path / "one"
    extra.write_text('client { host_volume "one" { path = "/1" } }')
    config = load_config([extra, folder], dev=True, overrides={"region": "flag", "client.meta.z": "flag"})
    assert (config.name, config.region) == ("b", "flag")
    assert config.client.meta == {"x": "b", "y": "a", "z": "flag"}
    assert set(config.client.host_volumes) == {"one", "two"}
    assert config.plugins["raw_exec"] == {"enabled": True, "denied_envvars": ["A"]}


def test_flags_are_converted_and_checked(tmp_path: Path) -> None:
    overrides = {"data_dir": str(tmp_path), "server.enabled": "true", "client.servers": ["127.0.0.1:1"]}
    config = load_config(
        [], overrides={**overrides, "client.gc_interval": "5s", "ports.rpc": 0, "log_json": True}
    )
    assert config.server.enabled
    assert config.client.servers == ("127.0.0.1:1",)
    assert config.client.gc_interval_s == 5
    assert config.ports.rpc == 0
    with pytest.raises(ConfigErrors) as caught:
        load_config([], dev=True, overrides={"server.enabledd": True, "ports.rpc": "x"})
    assert 'there is no setting "server.enabledd"' in str(caught.value)
    assert '"ports.rpc": a number is needed' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('bind_addr = "0.0.0.0"', "c.hcl:1:13: error: bind_addr 0.0.0.0 is not loopback"),
        ('bind_addr = "{{ GetPrivateIP }}"', "is not an IP address"),
        ('bind_addr = "::"', "is not loopback"),
        ('data_dir = "relative"', 'data_dir "relative" is not an absolute path'),
        ('region = "a b"', 'region "a b" may hold'),
        ('datacenter = "dc/1"', 'datacenter "dc/1" may hold'),
        ('name = "a b"', "name 'a b' may hold no white space"),
        ('log_level = "LOUD"', 'there is no log level "LOUD"'),
        ('log_format = "xml"', 'log_format is "text" or "json"'),
        ("ports { http = 70000 }", "a port lies from 1 to 65535"),
        ("ports { http = 4647 }", "port 4647 is used for http and rpc"),
        ("server { bootstrap_expect = 3 }", "bootstrap_expect = 3: this version runs one server"),
        ("server { num_schedulers = 0 }", "num_schedulers lies from 1"),
        ('server { job_gc_threshold = "0s" }', "job_gc_threshold is more than 0"),
        ('client { node_pool = "all" }', 'node_pool cannot be "all"'),
        ('client { reserved { reserved_ports = "80-22" } }', "goes backwards"),
        ('client { reserved { reserved_ports = "a" } }', "neither a number nor a range"),
        ("client { min_dynamic_port = 5000 max_dynamic_port = 4000 }", "is not more than max_dynamic_port"),
        ('client { host_volume "v" {} }', 'host_volume "v" needs a path'),
        ('client { host_volume "v" { path = "x" } }', "is not an absolute path"),
        ('client { host_network "n" {} }', "needs a cidr or an interface"),
        ('client { host_network "n" { cidr = "10.0.0.0/99" } }', "is not a range of addresses"),
        ('client { host_network "default" { cidr = "10.0.0.0/8" } }', "the node's own address"),
        ('client { host_network "n" { interface = "a" reserved_ports = "9-1" } }', "goes backwards"),
        ("client { gc_disk_usage_threshold = 120 }", "is a percentage"),
        ('client { servers = ["nowhere:port"] }', "is not an address"),
        ("frob = 1", 'a configuration has no key "frob"'),
        ("data_dri = 1", 'did you mean "data_dir"?'),
        ("client { gc_intervall = 1 }", 'did you mean "gc_interval"?'),
        ('name = "a"\nname = "b"', '"name" is given twice'),
        ("server {}\nserver {}", 'only one block "server"'),
        ("telemetry {}", 'the block "telemetry" is not supported'),
        ("advertise { http = 1 }", 'the block "advertise" is not supported'),
        ('client { options { "driver.raw_exec.enable" = "1" } }', 'the block "options" is not supported'),
        ("client { cni_path = 1 }", '"cni_path" is not supported'),
        ("tls { http = true }", '"tls" cannot be used here'),
        ("acl { enabled = true }", '"acl" cannot be used here'),
        ('server { encrypt = "abc" }', '"encrypt" cannot be used here'),
        ("leave_on_terminate = false", '"leave_on_terminate" is not supported'),
        ('plugin "nope" { config {} }', "no plugin 'nope' is installed"),
        ('plugin "docker" { config { allow_privileged = "x" } }', "expected true or false"),
        ("plugin { config {} }", 'the block "plugin" has one label'),
        ("server {", "this { is never closed"),
        ('{"server": {', "is missing here"),
        ("x = ${", "error:"),
        ("data_dir = var.x", 'there is no value named "var" here'),
        ('data_dir = file("/etc/hostname")', "reads files, which is not allowed here"),
    ],
)
def test_reasons_not_to_start(text: str, wanted: str, tmp_path: Path) -> None:
    assert wanted in errors_of(text, tmp_path=tmp_path, dev=True)


def test_outside_dev_a_mode_and_a_data_dir_are_needed(tmp_path: Path) -> None:
    text = errors_of("", tmp_path=tmp_path)
    assert "neither server nor client is enabled" in text
    assert "data_dir is missing" in text


def test_a_lone_node_needs_servers(tmp_path: Path) -> None:
    text = 'data_dir = "/x"\nclient { enabled = true }'
    assert "needs to know its servers" in errors_of(text, tmp_path=tmp_path)
    text = 'data_dir = "/x"\nclient {\n enabled = true\n servers = ["127.0.0.1:4647"]\n}'
    assert load(text, tmp_path=tmp_path).client.enabled


def test_bootstrap_expect_needs_a_server(tmp_path: Path) -> None:
    text = 'data_dir = "/x"\nserver { bootstrap_expect = 1 }\nclient { enabled = true servers = ["127.0.0.1:1"] }'
    assert "this agent is no server" in errors_of(text, tmp_path=tmp_path)


def test_all_errors_come_at_once_in_order(tmp_path: Path) -> None:
    text = errors_of('region = "a b"\nfrob = 1\nlog_level = "x"\n', tmp_path=tmp_path, dev=True)
    assert re.findall(r"c\.hcl:(\d+):", text) == ["1", "2", "3"]


def test_what_happens_anyway_is_accepted(tmp_path: Path) -> None:
    text = "disable_update_check = true\nleave_on_interrupt = true\nenable_syslog = false\n"
    assert load(text, tmp_path=tmp_path, dev=True).dev


def test_the_classic_dialect_is_read(tmp_path: Path) -> None:
    text = '"data_dir" = "/x"\n"server" { "enabled" = true, "num_schedulers" = 2 }\n'
    assert load(text, tmp_path=tmp_path).server.num_schedulers == 2


@pytest.mark.parametrize("data", [b"\x00\x01", b"\xff\xfe", b"a = \x00"])
def test_binary_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.hcl"
    path.write_bytes(data)
    with pytest.raises(ConfigErrors, match="this is not text"):
        load_config([path], dev=True)


def test_missing_and_empty_paths_are_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigErrors) as caught:
        load_config([tmp_path / "nothing.hcl", tmp_path / "empty"], dev=True)
    assert "cannot read" in str(caught.value)
    assert "holds no *.hcl or *.json file" in str(caught.value)


def test_a_plugins_check_can_be_left_out(tmp_path: Path) -> None:
    assert load('plugin "nope" { config { a = 1 } }', tmp_path=tmp_path, dev=True, check_plugin=None).plugins[
        "nope"
    ]


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_random_files_never_crash(tmp_path_factory: pytest.TempPathFactory, data: str | bytes) -> None:
    path = tmp_path_factory.mktemp("c") / "c.hcl"
    path.write_bytes(data if isinstance(data, bytes) else data.encode(errors="surrogatepass"))
    try:
        load_config([path], dev=True, check_plugin=None)
    except ConfigErrors as failure:
        assert failure.diagnostics


@pytest.mark.parametrize(
    ("text", "wanted"), [("", ()), ("5", (5,)), ("3-5,1", (1, 3, 4, 5)), (" 1 , 2 ", (1, 2)), ("1,1", (1,))]
)
def test_ranges(text: str, wanted: tuple[int, ...]) -> None:
    assert parse_ranges(text, 1, 65535) == wanted


@pytest.mark.parametrize("text", ["0", "65536", "1-", "-1", "1,,2", "x", "5-3", "99999999999999999999", "²"])
def test_bad_ranges(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_ranges(text, 1, 65535)


def test_tables_and_settings_agree() -> None:
    fields = set(msgspec.structs.asdict(AgentConfig().client))
    keys = {key.name + ("_s" if key.kind == "duration" else "") for key in CLIENT.keys}
    assert keys <= fields
    for block, key in (*SUPPORT.unsupported, *SUPPORT.refused):
        definition = {"configuration": AGENT, "client": CLIENT}.get(block)
        assert definition is None or (definition.key(key) is None and definition.child(key) is None)


def test_the_documentation_names_every_key() -> None:
    text = (ROOT / "docs" / "agent-configuration.md").read_text()
    named = set(re.findall(r"`(?:\w+\.)*(\w+)`", text))
    for definition in (
        AGENT,
        CLIENT,
        *(child.block for child in (*AGENT.children, *CLIENT.children) if child.block),
    ):
        assert {key.name for key in definition.keys} <= named, definition.name
    assert {key for _, key in (*SUPPORT.unsupported, *SUPPORT.refused)} <= named
