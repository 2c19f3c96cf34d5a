"""Split samples by their quality."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway import Batch, Config, Example, Outputs, Port, Transform


class QualityConfig(Config):
    at_least: Literal["good", "uncertain"] = Field(
        "good", description="Worst quality that passes: good only, or uncertain as well."
    )


class Quality(Transform[QualityConfig, Batch]):
    """Pass only samples that can be trusted; the others leave by their own port.

    State: none.
    Cost: O(n) a batch.
    Source: OPC 10000-4 v1.05, 7.38 StatusCode severity.
    """

    Config = QualityConfig
    stage = "stable"
    outputs = (
        Port("out", "samples", "Samples of sufficient quality."),
        Port("rejected", "samples", "The others, unchanged."),
    )
    examples = (
        Example(
            "Only good samples",
            {},
            given="TT1 0s 20 | 1s 21 uncertain | 2s 22 bad | 3s 23",
            expect={"out": "TT1 0s 20 | 3s 23", "rejected": "TT1 1s 21 uncertain | 2s 22 bad"},
        ),
        Example(
            "Uncertain ones as well",
            {"at_least": "uncertain"},
            given="TT1 0s 20 | 1s 21 uncertain | 2s 22 bad",
            expect="TT1 0s 20 | 1s 21 uncertain",
        ),
        Example(
            "A value that is no number is bad",
            {"at_least": "uncertain"},
            given="TT1 0s nan | 1s inf | 2s 5",
            expect="TT1 2s 5",
        ),
    )

    def process(self, batch: Batch, port: str) -> Outputs:
        passes = batch.good if self.config.at_least == "good" else batch.usable
        if passes.all():
            return {"out": batch} if len(batch) else {}
        kept = {"out": batch.where(passes)} if passes.any() else {}
        return {**kept, "rejected": batch.where(~passes)}
