"""What a generator is told when it is loaded; it travels as the parameters of the Triton model."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from symbiont.common.artifacts import absolute_root, parse_root
from symbiont.common.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class GeneratorSettings:
    """One language model."""

    # Root of the artifact store, a folder or a URL, as the process that runs the engine sees it.
    artifact_root: Path | str
    # Empty in the settings of a client, which fills it in for each generator that it loads.
    base_digest: str = ""
    # For one operation; 0 leaves the runtime's own choice.
    threads: int = 0
    # `cpu`, `cuda`, `cuda:1`, or `auto`.
    device: str = "cpu"
    # Sequences that step together.
    max_sequences: int = 16
    # Sequences that may wait for a place; more are refused at once.
    max_waiting: int = 64
    # Tokens of all sequences that run, prompts and what they may still become: bounds the memory of keys and values.
    token_budget: int = 16_384
    # Seconds after which a sequence ends whose caller has not said that it is still there: it was killed.
    lease_s: float = 15.0

    def to_parameters(self) -> dict[str, str]:
        """Returns the settings as strings by name."""
        # Absolute, because Triton works in another folder than whoever fills this in.
        absolute = replace(self, artifact_root=absolute_root(self.artifact_root))
        return {name: str(value) for name, value in asdict(absolute).items()}

    @classmethod
    def from_parameters(cls, parameters: dict[str, str]) -> Self:
        """The inverse of `to_parameters`.

        Raises:
            InvalidArgument: a parameter is missing or is no number.
        """
        try:
            return cls(
                artifact_root=parse_root(parameters["artifact_root"]),
                base_digest=parameters["base_digest"],
                threads=int(parameters["threads"]),
                device=parameters["device"],
                max_sequences=int(parameters["max_sequences"]),
                max_waiting=int(parameters["max_waiting"]),
                token_budget=int(parameters["token_budget"]),
                lease_s=float(parameters["lease_s"]),
            )
        except (KeyError, ValueError) as exc:
            raise InvalidArgument("parameters", f"missing or malformed: {exc}") from exc
