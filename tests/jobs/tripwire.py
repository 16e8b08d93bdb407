"""A Redis client that dies at a chosen step, as a process killed with -9 does: nothing after that step is done."""

from typing import Any

from redis import Redis
from redis.client import Pipeline


class Killed(BaseException):
    """The process is dead; no `except Exception` may go on from here."""


class Tripwire(Redis):
    """Counts its commands and raises Killed before the one numbered `fatal`, from 1; 0 lets it live.

    A command of a pipeline that is no transaction counts as one step, so that a packet can be torn; a MULTI is one.
    """

    def __init__(self, other: Redis, fatal: int = 0) -> None:
        super().__init__(connection_pool=other.connection_pool)
        self.fatal = fatal
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.fatal:
            raise Killed

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.step()
        return super().execute_command(*args, **options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return TornPipeline(self, transaction)


class TornPipeline(Pipeline):
    """A pipeline of a Tripwire."""

    def __init__(self, owner: Tripwire, transaction: bool) -> None:
        super().__init__(owner.connection_pool, owner.response_callbacks, transaction, None)
        self.owner = owner
        self.whole = transaction

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        if self.whole:
            self.owner.step()
            return super().execute(raise_on_error)
        for number in range(len(self.command_stack)):
            try:
                self.owner.step()
            except Killed:
                del self.command_stack[number:]
                super().execute(raise_on_error)
                raise
        return super().execute(raise_on_error)
