"""What an upload says about itself."""

from dataclasses import dataclass, replace

from symbiont.common.errors import InvalidArgument
from symbiont.common.resources import check_id
from symbiont.training.data.readers import READERS


@dataclass(frozen=True)
class Header:
    """What an upload says about itself."""

    id: str
    format: str
    text_column: str
    label_column: str
    # Of the whole file, by which one that was cut short is told; 0 where the caller does not say.
    byte_count: int = 0

    def checked(self) -> "Header":
        """Returns the header with its defaults filled in, or raises InvalidArgument."""
        check_id("header.dataset_id", self.id)
        if self.format not in READERS:
            raise InvalidArgument("header.dataset.format", f"it must be one of {', '.join(READERS)}")
        text, label = self.text_column or "text", self.label_column or "label"
        if text == label:
            raise InvalidArgument("header.dataset.label_column", f"{label!r} is the text column too")
        if self.byte_count < 0:
            raise InvalidArgument("header.byte_count", f"{self.byte_count} is negative")
        return replace(self, text_column=text, label_column=label)
