"""What every part of a manifest is built on."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Frozen, with unknown keys refused: a manifest that this version half understands is not served."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
