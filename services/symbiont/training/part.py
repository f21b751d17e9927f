"""What every part of a spec is built on."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Message(BaseModel):
    """Frozen, with unknown keys refused: it has the names and the shape of a message of the proto."""

    model_config = ConfigDict(frozen=True, extra="forbid")
