"""What a host is told when it is loaded; it travels as the parameters of the Triton model."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Self, cast, get_args

from symbiont.common.artifacts import Trust, absolute_root, parse_root
from symbiont.common.errors import InvalidArgument

RuntimeName = Literal["auto", "torch", "openvino"]
# `auto` is bf16 where the CPU (for openvino) or the GPU (for torch) has it, else fp32, and in openvino int8 for bundles
# that allow it where the CPU has int8 dot products; `int8` is int8 for those on any CPU, and fp32 for all others.
Precision = Literal["auto", "fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """One host model."""

    # Root of the artifact store, a folder or a URL, as the process that runs the engine sees it.
    artifact_root: Path | str
    # Empty in the settings of a client, which fills it in for each host that it loads.
    base_digest: str = ""
    # That compute, shared by what the runtime computes at a time; 0 leaves its own choice.
    threads: int = 0
    # Bundles kept in memory.
    max_slots: int = 64
    # `cpu`, `cuda`, `cuda:1`, or `auto`.
    device: str = "cpu"
    # What computes: `openvino` is for CPU only, and what `auto` means there, where it is installed.
    runtime: RuntimeName = "auto"
    # Of the arithmetic; in openvino `bf16` is fp32 where the CPU has no bf16.
    precision: Precision = "auto"
    # Public keys whose signatures of bundles count, as `common.artifacts.signatures` reads them, and whether there must
    # be one. The keys themselves: whoever runs Triton need not have their file.
    trusted_keys: str = ""
    require_signatures: bool = False

    def __post_init__(self) -> None:
        """Raises InvalidArgument where the runtime cannot do what is asked of it."""
        _check("runtime", self.runtime, get_args(RuntimeName))
        _check("precision", self.precision, get_args(Precision))
        if self.runtime == "openvino" and self.device not in ("cpu", "auto"):
            raise InvalidArgument("device", f"{self.device!r}: the runtime openvino computes on cpu only")
        if self.runtime != "openvino" and self.precision == "int8":
            raise InvalidArgument("precision", f"'int8': needs the runtime openvino, not {self.runtime}")

    def trust(self) -> Trust | None:
        """Returns whose word is taken of bundles; None where that is not asked.

        Raises:
            InvalidArgument: what is named are no keys.
        """
        asked = self.trusted_keys or self.require_signatures
        return Trust.parse(self.trusted_keys, required=self.require_signatures) if asked else None

    def to_parameters(self) -> dict[str, str]:
        """Returns the settings as strings by name."""
        # Absolute, because Triton works in another folder than whoever fills this in.
        absolute = replace(self, artifact_root=absolute_root(self.artifact_root))
        return {name: str(value) for name, value in asdict(absolute).items()}

    @classmethod
    def from_parameters(cls, parameters: dict[str, str]) -> Self:
        """The inverse of `to_parameters`.

        Raises:
            InvalidArgument: a parameter is missing, is no number or names nothing that there is.
        """
        try:
            return cls(
                artifact_root=parse_root(parameters["artifact_root"]),
                base_digest=parameters["base_digest"],
                threads=int(parameters["threads"]),
                max_slots=int(parameters["max_slots"]),
                device=parameters["device"],
                # Checked when the settings are made.
                runtime=cast(RuntimeName, parameters["runtime"]),
                precision=cast(Precision, parameters["precision"]),
                # Hosts that releases before have loaded are told of neither.
                trusted_keys=parameters.get("trusted_keys", ""),
                require_signatures=parameters.get("require_signatures", "") == "True",
            )
        except (KeyError, ValueError) as exc:
            raise InvalidArgument("parameters", f"missing or malformed: {exc}") from exc


def _check(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidArgument(name, f"{value!r} is none of {', '.join(choices)}")
