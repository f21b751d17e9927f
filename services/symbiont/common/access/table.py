"""Which roles may call which RPC: the whole of it, on one page. What has no row may be called by nobody."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from symbiont.common.principal import Role

# The columns are viewer, caller, trainer, approver, admin, operator, service, worker, and who says nothing of itself.
# `x` may call. The last column says what the audit log gets: `change` each call, `read` only where reads are asked for,
# `count` how many there were; refused calls always.
_TABLE = """
                                      V C T P A O S W -
symbiont.training.v1.BaseModelService
  GetBaseModel                        x x x x x x x . .  read
  ListBaseModels                      x x x x x x x . .  read
  RegisterBaseModel                   . . . . . x . . .  change
  QuantizeBaseModel                   . . . . . x . . .  change
  UpdateBaseModel                     . . . . . x . . .  change

symbiont.training.v1.DatasetService
  GetDataset                          x . x x x x . . .  read
  ListDatasets                        x . x x x x . . .  read
  CreateDataset                       . . x . x x . . .  change
  DeleteDataset                       . . x . x x . . .  change
  PrepareDataset                      . . x . x x . . .  change
  SplitDataset                        . . x . x x . . .  change
  ValidateDataset                     . . x . x x . . .  read
  SuggestRows                         . . x . x x . . .  read
  ExportRows                          . . x . x x . . .  change
  ImportLabels                        . . x . x x . . .  change

symbiont.training.v1.ErasureService
  ForgetSubject                       . . . . x x . . .  change

symbiont.training.v1.TrainingJobService
  GetTrainingJob                      x . x x x x . . .  read
  ListTrainingJobs                    x . x x x x . . .  read
  ListTrainingEvents                  x . x x x x . . .  read
  WatchTrainingJob                    x . x x x x . . .  read
  ReadTrainingLog                     . . x . x x . . .  read
  PlanTrainingJob                     . . x . x x . . .  read
  CreateTrainingJob                   . . x . x x . . .  change
  ReproduceModelVersion               . . x . x x . . .  change
  CancelTrainingJob                   . . x . x x . . .  change
  PauseTrainingJob                    . . x . x x . . .  change
  ResumeTrainingJob                   . . x . x x . . .  change

symbiont.training.v1.ModelService
  GetModel                            x x x x x x x . .  read
  ListModels                          x x x x x x x . .  read
  GetModelVersion                     x x x x x x x . .  read
  ListModelVersions                   x x x x x x x . .  read
  GetRelease                          x . x x x x x . .  read
  ListReleases                        x . x x x x x . .  read
  PromoteModelVersion                 . . x x x x . . .  change
  RollbackModelAlias                  . . x x x x . . .  change
  CreateRelease                       . . x x x x . . .  change
  UpdateRelease                       . . x x x x . . .  change
  PromoteRelease                      . . x x x x . . .  change
  EndRelease                          . . x x x x x . .  change
  WatchModelAliases                   . . . . . . x . .  read

symbiont.training.v1.PromotionService
  GetPromotionPolicy                  x . x x x x . . .  read
  ListPromotionDecisions              x . x x x x . . .  read
  SetPromotionPolicy                  . . . . x x . . .  change
  JudgeModelVersion                   . . x x x x . . .  change
  ApproveModelVersion                 . . . x x x . . .  change

symbiont.training.v1.PassportService
  GetModelPassport                    x . x x x x . . .  read
  GetEvaluationReport                 x . x x x x . . .  read

symbiont.training.v1.WorkerService
  Report                              . . . . . . . x .  count

symbiont.tokenization.v1.TokenizationService
  GetTokenizer                        x x x x x x x x .  read
  ListTokenizers                      x x x x x x x . .  read
  RegisterTokenizer                   . . . . . x . . .  change
  DeriveTokenizer                     . . . . . x . . .  change
  Tokenize                            . x x . x x x x .  count
  TokenizeStream                      . x x . x x x x .  count
  CountTokens                         . x x . x x x x .  count
  Decode                              . x x . x x x . .  count
  LookUpVocabulary                    . x x . x x x . .  count
  AnalyzeTexts                        . x x . x x x . .  count

symbiont.inference.v1.InferenceService
  Predict                             . x . . x x x . .  count
  PredictStream                       . x . . x x x . .  count
  Explain                             . x . . x x . . .  count

symbiont.inference.v1.GenerationService
  Generate                            . x . . x x . . .  count

symbiont.inference.v1.CatalogueService
  GetCatalogue                        x x x x x x . . .  read
  ListCatalogues                      x x x x x x . . .  read
  ListCatalogueVersions               x x x x x x . . .  read
  SearchCatalogue                     . x . . x x . . .  count
  CreateCatalogue                     . . x . x x . . .  change
  UpdateCatalogueEntries              . . x . x x . . .  change
  ImportCatalogueEntries              . . x . x x . . .  change
  DeleteCatalogueEntries              . . x . x x . . .  change
  DeleteCatalogue                     . . x . x x . . .  change

symbiont.inference.v1.ReleaseService
  GetReleaseObservation               x . x x x x . . .  read
  ListDisagreements                   x . x x x x . . .  read

inference.GRPCInferenceService
  ServerLive                          x x x x x x x x x  count
  ServerReady                         x x x x x x x x x  count
  ServerMetadata                      x x x x x x x . .  count
  ModelReady                          x x x x x x x . .  count
  ModelMetadata                       x x x x x x x . .  read
  ModelConfig                         x x x x x x x . .  read
  ModelStatistics                     x . x x x x . . .  read
  ModelInfer                          . x . . x x . . .  count
  ModelStreamInfer                    . x . . x x . . .  count
  RepositoryIndex                     x x x x x x . . .  read
  RepositoryModelLoad                 . x . . x x . . .  change
  RepositoryModelUnload               . . . . x x . . .  change
  SystemSharedMemoryStatus            . . . . . x . . .  change
  SystemSharedMemoryRegister          . . . . . x . . .  change
  SystemSharedMemoryUnregister        . . . . . x . . .  change
  CudaSharedMemoryStatus              . . . . . x . . .  change
  CudaSharedMemoryRegister            . . . . . x . . .  change
  CudaSharedMemoryUnregister          . . . . . x . . .  change
  TraceSetting                        . . . . . x . . .  change
  LogSettings                         . . . . . x . . .  change

grpc.health.v1.Health
  Check                               x x x x x x x x x  count
  Watch                               x x x x x x x x x  count

grpc.reflection.v1alpha.ServerReflection
  ServerReflectionInfo                x x x x x x x . .  count
"""
ROLES = (
    Role.VIEWER,
    Role.CALLER,
    Role.TRAINER,
    Role.APPROVER,
    Role.ADMIN,
    Role.OPERATOR,
    Role.SERVICE,
    Role.WORKER,
)


@dataclass(frozen=True)
class Row:
    """Who may call an RPC.

    Attributes:
        roles: any of which is enough.
        anybody: whether who says nothing of itself may, too.
        heard: `change`, `read` or `count`: what the audit log gets of calls that are let on.
    """

    roles: frozenset[Role]
    anybody: bool
    heard: str


@cache
def rows() -> Mapping[str, Row]:
    """Returns the table by the full name of the RPC, `/package.Service/Method`."""
    return MappingProxyType(dict(_read(_TABLE)))


def _read(table: str) -> Iterator[tuple[str, Row]]:
    service = ""
    _, _, *lines = table.splitlines()
    for words in filter(None, (line.split() for line in lines)):
        if len(words) == 1:
            service = words[0]
            continue
        method, *marks, heard = words
        roles = frozenset(role for role, mark in zip(ROLES, marks, strict=False) if mark == "x")
        yield f"/{service}/{method}", Row(roles, marks[len(ROLES)] == "x", heard)
