"""What fields of requests and answers are made of: names, numbers and instants as the table keeps them."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from models.types import NAME_LENGTH
from processor.queue.enqueue import is_storable

Row = dict[str, Any]
LARGEST = 2**53 - 1
"""The largest number that every reader of JSON keeps; no table has as many rows."""
SMALL = 32_767
JobId = Annotated[int, Field(ge=1, le=LARGEST, description="number of the job")]


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("it has a letter that no database keeps (NUL, or half of a surrogate)")
    return text


Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=NAME_LENGTH, pattern=r"^[^\x00]*[^\x00 ]$"),
    AfterValidator(_storable),
]
"""As the columns have it: no NUL, and no space at its end, which MariaDB would compare as if it were not there."""
Sought = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$"), AfterValidator(_storable)
]
"""Part of a name or an error. SQLite would read it up to a NUL alone, and find all rows."""
Instant = Annotated[datetime, BeforeValidator(lambda value: value.replace(tzinfo=UTC) if _is_naive(value) else value)]
StatusName = Literal["pending", "scheduled", "waiting", "paused", "running", "completed", "failed", "cancelled"]
EventKind = Literal["state", "log", "output", "progress"]


def _is_naive(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is None


def no_number(value: Any) -> Any:
    """Refuse a number of seconds where an instant is wanted."""
    if isinstance(value, str) and value.replace(".", "").replace("-", "").isdigit():
        raise ValueError("expected an instant such as 2026-01-31T08:00:00Z")
    return value


def in_utc(value: datetime) -> datetime:
    """Give an instant in UTC; at the ends of the calendar there is none."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected an instant within the years 1 to 9999 in UTC") from None


def _a_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("expected a text such as 2026-01-31T08:00:00Z")
    return value


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_a_text),
    AfterValidator(in_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-"}),
]
"""The table keeps instants from 1970 on."""


class Given(BaseModel):
    """What a request gives: nothing but these fields."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what would be read as something else: texts and truths as numbers, numbers as truths."""
        assert info.field_name is not None
        annotation = cls.model_fields[info.field_name].annotation
        kinds = {annotation, *get_args(annotation)}
        if kinds & {int, float} and isinstance(value, bool | str):
            raise ValueError("expected a number")
        if bool in kinds and not isinstance(value, bool):
            raise ValueError("expected true or false")
        return value


def such_as(*examples: Row) -> ConfigDict:
    """Show examples of a body in the description."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})
