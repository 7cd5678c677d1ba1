"""What a client of a WebSocket may say: JSON texts, each with a `ref` that all that follows from it carries."""

from typing import Annotated, Any, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from processor.api import shapes

MOST_LETTERS = 64 * 1024
"""Of one message."""
Ref = Annotated[int, Field(ge=-shapes.LARGEST, le=shapes.LARGEST)] | Annotated[str, Field(max_length=100)]
After = Annotated[int, Field(ge=0, le=shapes.LARGEST)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    ref: Ref


class SubscribeJob(_Message):
    """Follow one job, from the event behind `after` on."""

    do: Literal["subscribe"]
    to: Literal["job"]
    job: shapes.JobId
    after: After = 0


class SubscribeChanges(_Message):
    """Follow all jobs, or those of some types; without `after` from now on."""

    do: Literal["subscribe"]
    to: Literal["changes"]
    types: Annotated[list[shapes.Name], Field(max_length=100)] = []
    kinds: Annotated[list[shapes.EventKind], Field(max_length=10)] = []
    after: After | None = None


class SubscribeNotifications(_Message):
    """Wait for notifications; without `after` from now on."""

    do: Literal["subscribe"]
    to: Literal["notifications"]
    after: After | None = None


class Unsubscribe(_Message):
    """End the subscription that has this `ref`."""

    do: Literal["unsubscribe"]


class Steer(_Message):
    """Change one job."""

    do: Literal["cancel", "pause", "resume", "retry", "run-now"]
    job: shapes.JobId


Subscribe = Annotated[SubscribeJob | SubscribeChanges | SubscribeNotifications, Field(discriminator="to")]
Message = SubscribeJob | SubscribeChanges | SubscribeNotifications | Unsubscribe | Steer
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Subscribe | Unsubscribe | Steer, Field(discriminator="do")])
_REF: TypeAdapter[int | str] = TypeAdapter(Ref)


def ref_of(given: Any) -> int | str | None:
    """Give the `ref` of what was said, however wrong the rest is; None: it has none."""
    try:
        return _REF.validate_python(given["ref"] if isinstance(given, dict) else None, strict=True)
    except (KeyError, ValidationError):
        return None


def read(given: Any) -> Message:
    """Read a message. Raises `RequestValidationError`."""
    try:
        return _MESSAGE.validate_python(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
