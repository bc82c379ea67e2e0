"""Job.List and Job.GetJob: pages of jobs in order, and one job with its launches.

Theory: jobs are kept in the order of (namespace, id), so that a page is read from where it begins, however many jobs
there are; children are in the list only when somebody asks for them.

Source: spec/nomad-surface.md B2; users/wants.md 6.
"""

from __future__ import annotations

from collections.abc import Iterator

from daemon.model.errors import NotFound
from daemon.model.job import Job
from daemon.rpc import messages as m
from daemon.rpc import methods
from daemon.rpc.dispatch import Caller, Dispatcher, require
from daemon.server.context import ServerContext, is_parent
from daemon.server.periodic import next_ns
from daemon.server.queries import PAGE_MAX, blocking, namespace_of

#: between namespace and id in a page's token; neither can hold it.
_JOINT = " "


class JobListEndpoints:
    """Handlers of Job.List and Job.GetJob."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def register_in(self, dispatcher: Dispatcher) -> None:
        """Serve both."""
        dispatcher.serve(methods.JOB_LIST, self.list)
        dispatcher.serve(methods.JOB_GET, self.get)

    async def list(self, request: m.JobListRequest, caller: Caller) -> m.JobListResponse:
        """Jobs whose id begins with the prefix, with the counts of their groups."""
        state = self._context.state

        def read() -> m.JobListResponse:
            size = request.per_page if 0 < request.per_page <= PAGE_MAX else PAGE_MAX
            taken: list[m.JobStub] = []
            token = ""
            for job in self._found(request):
                if len(taken) == size:
                    token = f"{job.namespace}{_JOINT}{job.id}"
                    break
                taken.append(self._stub(job))
            return m.JobListResponse(index=state.table_index("jobs"), jobs=tuple(taken), next_token=token)

        return await blocking(self._context, request, read)

    def _found(self, request: m.JobListRequest) -> Iterator[Job]:
        """The jobs asked for, in order, from the page's token on."""
        namespace = None if request.namespace == "*" else namespace_of(request.namespace)
        prefix = f"{request.parent}/" if request.parent and not request.prefix else request.prefix
        start = (namespace, prefix) if namespace is not None else ("", "")
        at, joint, id_ = request.next_token.partition(_JOINT)
        if joint:
            start = max(start, (at, id_))
        children = request.children or bool(request.parent)
        for job in self._context.state.jobs_from(start, children=children):
            if namespace is not None and (job.namespace != namespace or job.id[: len(prefix)] > prefix):
                return
            if job.id.startswith(prefix) and request.parent in ("", job.parent_id):
                yield job

    def _stub(self, job: Job) -> m.JobStub:
        return m.JobStub(
            id=job.id,
            name=job.name,
            namespace=job.namespace,
            type=job.type.value,
            priority=job.priority,
            status=job.status.value,
            status_description=job.status_description,
            stop=job.stop,
            parent_id=job.parent_id,
            node_pool=job.node_pool,
            datacenters=job.datacenters,
            version=job.version,
            submit_time_ns=job.submit_time_ns,
            create_index=job.create_index,
            modify_index=job.modify_index,
            job_modify_index=job.job_modify_index,
            job_summary=self._summary(job),
            periodic=job.periodic is not None,
            parameterized_job=job.parameterized_job is not None,
            children=self._children(job),
        )

    def _summary(self, job: Job) -> dict[str, m.JobSummary]:
        return self._context.state.summary(job.namespace, job.id).summary

    def _children(self, job: Job) -> m.JobChildren | None:
        """Counts of the children; None for jobs that have none by their kind."""
        if not is_parent(job):
            return None
        found = self._context.state.children(*job.key)
        if found is None:
            return m.JobChildren()
        return m.JobChildren(**{status.value: count for status, count in found.by_status.items()})

    async def get(self, request: m.IdQuery, caller: Caller) -> m.JobResponse:
        """One job."""
        state = self._context.state

        def read() -> m.JobResponse:
            namespace = namespace_of(request.namespace)
            job = state.job(namespace, require(request.id, "a job id"))
            if job is None:
                raise NotFound(f"job not found: {request.id!r} in namespace {namespace!r}")
            launches = state.launches(*job.key) if is_parent(job) else None
            return m.JobResponse(
                index=max(job.modify_index, launches.modify_index if launches is not None else 0),
                job=job,
                summary=self._summary(job),
                launches=launches,
                next_launch_ns=next_ns(job, launches),
                children=self._children(job),
            )

        return await blocking(self._context, request, read)
