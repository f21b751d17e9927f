"""What can be said of a job before a worker is started for it."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict

from symbiont.common.access.views import owner_of
from symbiont.common.artifacts import ArtifactStore, canonical_json
from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument, NotFound, PermissionDenied
from symbiont.common.resources import check_id
from symbiont.training.spec import TrainingSpec
from symbiont.training.types import Failure, FailureKind, Inputs, Job, Terms

LONGEST_REQUEST_ID = 128
# A deadline that is much longer is no time that a calendar has.
LONGEST_SECONDS = 10 * 365 * 86400.0


def check_owner(spec: TrainingSpec) -> None:
    """Checks that all that a job works on, and makes, is of one tenant, or of the installation.

    Raises:
        InvalidArgument: it is not.
        PermissionDenied: a tenant would make a base of its rows, and bases are everybody's.
    """
    owner = owner_of(spec.dataset)
    named = {field: getattr(spec, field) for field in ("model", "evaluation_dataset", "start_from")}
    named["replay.dataset"] = spec.replay.dataset if spec.replay else None
    for field, name in named.items():
        if name and owner_of(name) != owner:
            raise InvalidArgument(f"training_job.spec.{field}", f"{name} and {spec.dataset} are not of the same tenant")
    if spec.derived_base and owner:
        problem = f"{spec.derived_base} would be made of {spec.dataset}, and all tenants may use a base"
        raise PermissionDenied(f"{problem}: let an operator make it of rows of the installation")


def check_request_id(request_id: str) -> None:
    """Raises InvalidArgument for one that is too long."""
    if len(request_id) > LONGEST_REQUEST_ID:
        raise InvalidArgument("request_id", f"it is over {LONGEST_REQUEST_ID} characters")


def check_terms(terms: Terms, price: float) -> None:
    """Checks on what terms a job is to run; InvalidArgument names the field."""
    check_id("training_job.tenant", terms.tenant)
    if not -100 <= terms.priority <= 100:
        raise InvalidArgument("training_job.priority", f"{terms.priority} is not from -100 to 100")
    budget, field = terms.budget, "training_job.budget"
    limits = {"training_time": budget.training_seconds, "cost": budget.cost, "deadline": budget.deadline_seconds}
    for name, value in limits.items():
        if value is not None and not 0 < value < float("inf"):
            raise InvalidArgument(f"{field}.{name}", f"{value:g} is not above 0: leave it out for no limit")
    for name in ("training_time", "deadline"):
        if (limits[name] or 0) > LONGEST_SECONDS:
            problem = f"{limits[name]:g} s are over {LONGEST_SECONDS:g}, ten years: leave it out for no limit"
            raise InvalidArgument(f"{field}.{name}", problem)
    if budget.cost is not None and not price:
        problem = "this service has no price, so that no cost is known: set price_per_rank_hour, or give training_time"
        raise FailedPrecondition(problem, field=f"{field}.cost", reason="NO_PRICE")


def plan_key(spec: TrainingSpec, inputs: Inputs) -> str:
    """Returns the digest by which a job finds the plan that was made of the same work."""
    work = {"spec": spec.model_dump(mode="json", exclude={"model", "derived_base"}), "inputs": asdict(inputs)}
    return hashlib.sha256(canonical_json(work)).hexdigest()


def missing(artifacts: ArtifactStore, job: Job) -> Failure | None:
    """Says what a job works on and is not there any more."""
    return _first_failure(job, lambda kind, digest: None if artifacts.exists(kind, digest) else "it is gone")


def whole(artifacts: ArtifactStore, job: Job) -> Failure | None:
    """Says what a job works on and is missing or damaged; reads every byte."""

    def problem(kind: str, digest: str) -> str | None:
        try:
            artifacts.check(kind, digest)
        except (NotFound, IntegrityError) as exc:
            return str(exc)
        return None

    return _first_failure(job, problem)


def _tokenizers(spec: TrainingSpec, inputs: Inputs) -> list[tuple[str, str]]:
    """Returns name and digest of those that a job reads itself: to give a base new tokens."""
    if spec.masked_tokens is None:
        return []
    digests = [digest for digest in (inputs.base_tokenizer_digest, inputs.tokenizer_digest) if digest]
    return [(f"tokenizers/{digest}", digest) for digest in digests]


def _first_failure(job: Job, problem: Callable[[str, str], str | None]) -> Failure | None:
    spec, inputs = job.spec, job.inputs
    works_on = [
        (FailureKind.CONFIG, spec.base_model, "bases", inputs.base_digest),
        *((FailureKind.CONFIG, name, "tokenizers", digest) for name, digest in _tokenizers(spec, inputs)),
        (FailureKind.DATA, spec.dataset, "datasets", inputs.dataset_digest),
        (FailureKind.DATA, spec.evaluation_dataset or "", "datasets", inputs.evaluation_dataset_digest),
        (FailureKind.CONFIG, spec.start_from or "", "bundles", inputs.start_digest),
        (FailureKind.DATA, (spec.replay and spec.replay.dataset) or "", "datasets", inputs.replay_digest),
    ]
    for failure, name, kind, digest in works_on:
        if digest and (found := problem(kind, digest)):
            return Failure(failure, f"{name} cannot be used: {found}; store it again, and submit the job again")
    return None
