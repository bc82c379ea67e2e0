"""From the agent's configuration to what each role wants to know. Pure."""

from __future__ import annotations

from pathlib import Path

import encamp
from daemon.config.settings import AgentConfig
from daemon.model.base import NS_PER_S
from daemon.model.node import HostVolume, NodeReserved
from daemon.node.config import GcLimits, HostNetworkRule, NodeConfig
from daemon.server.collect import Ages
from daemon.server.server import ServerConfig


def server_config(config: AgentConfig, data_dir: Path) -> ServerConfig:
    """For the server role. With `-dev` nothing is kept on disk."""
    server = config.server
    return ServerConfig(
        data_dir=None if config.dev else data_dir / "server",
        region=config.region,
        workers=server.num_schedulers,
        ages=Ages(
            eval_ns=int(server.eval_gc_threshold_s * NS_PER_S),
            batch_eval_ns=int(server.batch_eval_gc_threshold_s * NS_PER_S),
            job_ns=int(server.job_gc_threshold_s * NS_PER_S),
            deployment_ns=int(server.deployment_gc_threshold_s * NS_PER_S),
            node_ns=int(server.node_gc_threshold_s * NS_PER_S),
        ),
        collect_interval_s=server.job_gc_interval_s,
    )


def node_config(config: AgentConfig, data_dir: Path) -> NodeConfig:
    """For the node role."""
    client = config.client
    reserved = client.reserved
    overrides = {
        "cpu_total_compute": client.cpu_total_compute,
        "memory_total_mb": client.memory_total_mb,
        "disk_total_mb": client.disk_total_mb,
        # a development agent is for this machine alone: its ports are on loopback, as with Nomad
        "network_interface": client.network_interface or ("lo" if config.dev else ""),
    }
    return NodeConfig(
        data_dir=data_dir,
        state_dir=Path(client.state_dir) if client.state_dir else None,
        alloc_dir=Path(client.alloc_dir) if client.alloc_dir else None,
        name=config.name,
        region=config.region,
        datacenter=config.datacenter,
        node_class=client.node_class,
        node_pool=client.node_pool,
        meta=client.meta,
        reserved=NodeReserved(
            cpu_shares=reserved.cpu,
            memory_mb=reserved.memory_mb,
            disk_mb=reserved.disk_mb,
            cores=reserved.cores,
            ports=reserved.ports,
        ),
        host_volumes={
            name: HostVolume(name=name, path=volume.path, read_only=volume.read_only)
            for name, volume in client.host_volumes.items()
        },
        host_networks={
            name: HostNetworkRule(network.cidr, network.interface, network.reserved_ports)
            for name, network in client.host_networks.items()
        },
        min_dynamic_port=client.min_dynamic_port,
        max_dynamic_port=client.max_dynamic_port,
        max_kill_timeout_s=client.max_kill_timeout_s,
        gc=GcLimits(
            interval_s=client.gc_interval_s,
            disk_usage_percent=client.gc_disk_usage_threshold,
            inode_usage_percent=client.gc_inode_usage_threshold,
            allocs_max=client.gc_max_allocs,
            parallel=client.gc_parallel_destroys,
        ),
        overrides={key: value for key, value in overrides.items() if value},
        plugin_config=config.plugins,
        dev=config.dev,
        version=encamp.__version__,
    )
