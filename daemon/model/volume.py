"""Dynamic host volumes, which are records, unlike the static ones of a node's configuration; and claims on them. Pure.

Theory: a volume lies on one node and belongs to one namespace; many nodes may have one of the same name. Who writes
to it is not stored: it follows from the allocations on the node. A claim is what a sticky group has had: it outlives
its allocation, so that the next one comes back to the data.

Source: spec/scheduler.md 4.4 "Host volumes".
"""

from __future__ import annotations

from daemon.model.base import Wire
from daemon.model.job import VolumeRequest

SINGLE_WRITER = "single-node-single-writer"
ACCESS_MODES = ("single-node-reader-only", "single-node-writer", SINGLE_WRITER, "single-node-multi-writer")
ATTACHMENT_MODES = ("file-system", "block-device")
#: a volume that takes allocations; others wait for their node, or are gone with it.
READY = "ready"
VOLUME_STATES = ("pending", READY, "unavailable")


class DynamicVolume(Wire, frozen=True, kw_only=True):
    """One volume. `capabilities`: the pairs of access mode and attachment mode that it may be asked for with."""

    id: str
    name: str
    namespace: str = "default"
    node_id: str
    state: str = READY
    host_path: str = ""
    capabilities: tuple[tuple[str, str], ...] = ()
    create_index: int = 0
    modify_index: int = 0

    def offers(self, request: VolumeRequest) -> bool:
        """True when it may be mounted the way that is asked for."""
        return modes(request) in self.capabilities


class VolumeClaim(Wire, frozen=True, kw_only=True):
    """A sticky group's hold on a volume. Unmet while its allocation does not run."""

    namespace: str
    job_id: str
    task_group: str
    volume_id: str
    alloc_id: str


class VolumeWriter(Wire, frozen=True, kw_only=True):
    """A group that has a volume mounted read-write. `exclusive`: as the single writer."""

    namespace: str
    job_id: str
    task_group: str
    exclusive: bool = False


def modes(request: VolumeRequest) -> tuple[str, str]:
    """Access and attachment mode of a request, with what is meant by saying nothing."""
    plain = ACCESS_MODES[0] if request.read_only else ACCESS_MODES[1]
    return (request.access_mode or plain, request.attachment_mode or ATTACHMENT_MODES[0])


def source_of(request: VolumeRequest, index: int) -> str:
    """Name of the volume that the allocation of that number asks for."""
    source = request.source or request.name
    return f"{source}[{index}]" if request.per_alloc else source


def shut_out(request: VolumeRequest, key: tuple[str, str, str], writers: tuple[VolumeWriter, ...]) -> bool:
    """True when another group writes, and one of the two wants to be the only one."""
    if request.read_only:
        return False
    single = modes(request)[0] == SINGLE_WRITER
    return any(
        (single or writer.exclusive) and (writer.namespace, writer.job_id, writer.task_group) != key
        for writer in writers
    )
