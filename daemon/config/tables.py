"""Blocks and keys of agent configuration: those acted on, and those of Nomad's that are not.

Theory: the same tables and the same reader as for job files. A key that would change what the agent does,
and does not here, is an error; so is every security block, with a word of its own.

Source: spec/nomad-surface.md D.
"""

from __future__ import annotations

from daemon.jobspec.schema.tables import BlockDef, Child, Key
from daemon.jobspec.support import Support


def _keys(**kinds: str) -> tuple[Key, ...]:
    return tuple(Key(name, kind) for name, kind in kinds.items())


PORTS = BlockDef("ports", _keys(http="int", rpc="int", serf="int", raft="int"))
SERVER = BlockDef(
    "server",
    _keys(
        enabled="bool",
        bootstrap_expect="int",
        num_schedulers="int",
        job_gc_interval="duration",
        job_gc_threshold="duration",
        eval_gc_threshold="duration",
        batch_eval_gc_threshold="duration",
        deployment_gc_threshold="duration",
        node_gc_threshold="duration",
    ),
)
RESERVED = BlockDef(
    "reserved", _keys(cpu="int", memory="int", disk="int", reserved_ports="string", cores="string")
)
HOST_VOLUME = BlockDef("host_volume", _keys(path="string", read_only="bool"))
HOST_NETWORK = BlockDef("host_network", _keys(cidr="string", interface="string", reserved_ports="string"))
CLIENT = BlockDef(
    "client",
    _keys(
        enabled="bool",
        servers="strings",
        node_class="string",
        node_pool="string",
        gc_interval="duration",
        gc_disk_usage_threshold="number",
        gc_inode_usage_threshold="number",
        gc_max_allocs="int",
        gc_parallel_destroys="int",
        min_dynamic_port="int",
        max_dynamic_port="int",
        max_kill_timeout="duration",
        cpu_total_compute="int",
        memory_total_mb="int",
        disk_total_mb="int",
        network_interface="string",
        alloc_dir="string",
        state_dir="string",
    ),
    (
        Child("meta", None),
        Child("reserved", RESERVED),
        Child("host_volume", HOST_VOLUME, many=True, labels=1),
        Child("host_network", HOST_NETWORK, many=True, labels=1),
    ),
)
PLUGIN = BlockDef("plugin", (), (Child("config", None),))
AGENT = BlockDef(
    "configuration",
    _keys(
        data_dir="string",
        bind_addr="string",
        name="string",
        region="string",
        datacenter="string",
        log_level="string",
        log_format="string",
        log_json="bool",
        log_file="string",
        log_rotate_bytes="int",
        log_rotate_duration="duration",
        log_rotate_max_files="int",
    ),
    (
        Child("ports", PORTS),
        Child("server", SERVER),
        Child("client", CLIENT),
        Child("plugin", PLUGIN, many=True, labels=1),
    ),
)

_SECURITY = (
    "this version cannot honour it, and an agent that only seems secured is worse than none; remove it"
)

_TOP = """addresses advertise autopilot audit consul eventlog http_api_response_headers keyring keyrings
limits log_include_location plugin_dir reporting retry_interval retry_join retry_max rpc sentinel start_join
syslog_facility telemetry ui vault enable_debug"""
_SERVER = """acl_token_gc_threshold authoritative_region client_introduction csi_plugin_gc_threshold
csi_volume_claim_gc_interval csi_volume_claim_gc_threshold data_dir default_scheduler_config
deploy_query_rate_limit enable_event_broker enabled_schedulers event_buffer_size failover_heartbeat_ttl
heartbeat_grace job_default_priority job_max_count job_max_priority job_max_source_size job_tracked_versions
license_path max_heartbeats_per_second min_heartbeat_ttl non_voting_server oidc_issuer plan_apply_pipeline
plan_rejection_tracker protocol_version raft_boltdb raft_logstore raft_multiplier raft_protocol
raft_snapshot_interval raft_snapshot_threshold raft_trailing_logs redundancy_zone rejoin_after_leave
retry_interval retry_join retry_max root_key_gc_interval root_key_gc_threshold root_key_rotation_threshold
search server_join start_join start_timeout upgrade_version"""
_CLIENT = """alloc_mounts_dir artifact bind_wildcard_default_host_network bridge_network_hairpin_mode
bridge_network_name bridge_network_subnet bridge_network_subnet_ipv6 cgroup_parent chroot_env client_max_port
client_min_port cni_config_dir cni_path common_plugin_dir cpu_disable_dmidecode default_ineligible
disable_remote_exec disk_free_mb drain_on_shutdown fingerprint gc_volumes_on_node_gc
host_volume_plugin_dir host_volumes_dir network_speed no_host_uuid node_max_allocs nomad_service_discovery
options preferred_address_family reservable_cores server_join template users"""

SUPPORT = Support(
    unsupported={
        **{("configuration", name): () for name in _TOP.split()},
        **{("server", name): () for name in _SERVER.split()},
        **{("client", name): () for name in _CLIENT.split()},
        # what these ask for is what happens anyway
        ("configuration", "disable_update_check"): (True,),
        ("configuration", "disable_anonymous_signature"): (True,),
        ("configuration", "enable_syslog"): (False,),
        ("configuration", "log_include_location"): (False,),
        ("configuration", "enable_debug"): (False,),
        ("configuration", "leave_on_interrupt"): (True,),
        ("configuration", "leave_on_terminate"): (True,),
        ("client", "network_speed"): (0,),
        ("client", "default_ineligible"): (False,),
        ("client", "disable_remote_exec"): (False,),
        ("plugin", "args"): (),
    },
    values={},
    ignored={},
    refused={
        ("configuration", "tls"): _SECURITY,
        ("configuration", "acl"): _SECURITY,
        ("server", "encrypt"): _SECURITY,
    },
    message="{what} is not supported by this version of encamp; see docs/agent-configuration.md",
)
