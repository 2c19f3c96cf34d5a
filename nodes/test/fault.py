"""A node that fails on purpose: to see that the others run on."""

from __future__ import annotations

from pydantic import Field

from gateway import Batch, Config, Context, Example, FaultError, Outputs, Transform


class FaultConfig(Config):
    above: float = Field(
        float(10**12), description="It fails on a good value above this, in the tag's unit."
    )


class Fault(Transform[FaultConfig, Batch]):
    """Pass every sample, and raise an error on a value above `above`.

    For tests of what the gateway does when our code is wrong: the node stops or starts fresh,
    an error is said, the poisonous message is kept, and the other nodes run on.

    State: none.
    Cost: O(n) a batch.
    """

    Config = FaultConfig
    examples = (
        Example(
            "It passes all that is harmless", {"above": 100}, given="X 0s 99", expect="X 0s 99"
        ),
        Example("The limit itself is harmless", {"above": 5}, given="X 0s 5", expect="X 0s 5"),
        Example("Bad values do not count", {"above": 5}, given="X 0s 9 bad", expect="X 0s 9 bad"),
    )

    def __init__(self, config: FaultConfig, ctx: Context) -> None:
        super().__init__(config, ctx)

    def process(self, batch: Batch, port: str) -> Outputs:
        poison = batch.good & (batch.value > self.config.above)
        if poison.any():
            raise FaultError(f"{self.ctx.node_id} was told to fail above {self.config.above}.")
        return {"out": batch} if len(batch) else {}
