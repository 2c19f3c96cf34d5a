"""Train: fit the net to pairs of prompt and text, on one CPU thread or a GPU, interruptible.

Matrices are trained by Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; as in
`torch.optim.Muon`), which learns in hundreds of steps what AdamW learns in thousands; embedding and
norms by AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101). Only the text counts
for the loss: the prompt is given, so nothing is gained by predicting it.

The batches are a function of the seed, so that a run that is resumed takes the same ones.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from models.explainer.training.corpus import Pair
from models.explainer.training.net import Net, Size
from models.explainer.training.tokenizer import ANSWER, END, PAD, START, Tokenizer

_log = logging.getLogger(__name__)
Row: TypeAlias = tuple[list[int], list[int]]
"""Tokens of the prompt with what stands around it, and of the text with its end."""
_SORTED_TOGETHER: Final = 128
"""Batches that are cut from one sorted stretch: neighbours have like lengths, so little is
padding, and the stretch is long enough to be a fair sample."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train.

    Args:
        steps: How many batches.
        batch: Pairs in one.
        rate: Highest learning rate.
        warm_steps: How long it rises.
        flat_share: Share of the steps at the highest rate; then it falls to nearly nothing.
        decay: Weight decay of the matrices.
        clip: Largest norm of a gradient.
        seed: Of weights and batches.
        threads: Of torch.
        say_every: Steps between two lines, validations and checkpoints.
    """

    steps: int = 2000
    batch: int = 16
    rate: float = 3e-3
    warm_steps: int = 20
    flat_share: float = 0.2
    decay: float = 0.05
    clip: float = 1.0
    seed: int = 1
    threads: int = 1
    say_every: int = 100

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        rise = min(1.0, (step + 1) / self.warm_steps)
        done = step / self.steps
        fall = 1.0 if done < self.flat_share else (1 - done) / (1 - self.flat_share)
        return self.rate * rise * max(0.01, fall)


@dataclass(slots=True)
class Progress:
    """How far a run is; what the card tells of it."""

    step: int = 0
    tokens: int = 0
    cpu_s: float = 0.0
    loss: float = 0.0
    valid: float = 0.0
    parameters: int = 0


def rows_of(pairs: Sequence[Pair], tokenizer: Tokenizer) -> list[Row]:
    """Pairs as numbers."""
    start, answer, end = (tokenizer.id(name) for name in (START, ANSWER, END))
    prompts = tokenizer.encode([pair.prompt for pair in pairs])
    texts = tokenizer.encode([pair.text for pair in pairs])
    return [
        ([start, *prompt, answer], [*text, end])
        for prompt, text in zip(prompts, texts, strict=True)
    ]


def train(
    folder: Path,
    train_pairs: Sequence[Pair],
    valid_pairs: Sequence[Pair],
    size: Size,
    plan: Plan,
    begin: Path | None = None,
) -> Progress:
    """Train in a folder that holds ``tokenizer.json``; goes on where an earlier run stopped.

    Args:
        folder: Gets ``checkpoint.pt``.
        train_pairs: What to learn.
        valid_pairs: What to measure the loss on.
        size: Of the net.
        plan: How.
        begin: Folder of a run with the same tokenizer, whose weights to begin with; None begins
            with random ones.
    """
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    rows = rows_of(train_pairs, tokenizer)
    valid = rows_of(valid_pairs, tokenizer)
    pad = tokenizer.id(PAD)
    net = (load(begin) if begin else Net(size)).to(device())
    optimizers = _optimizers(net, plan)
    progress = Progress(parameters=net.parameters_count)
    path = folder / "checkpoint.pt"
    if path.exists():
        _restore(path, net, optimizers, progress)
        _log.info("Going on at step %d of %d.", progress.step, plan.steps)
    _log.info("%.2f M parameters, %d pairs.", progress.parameters / 1e6, len(rows))
    clock = time.process_time()
    mean = progress.loss
    for batch in _batches(rows, plan, progress.step):
        loss, tokens = _learn(net, optimizers, batch, pad, plan, progress.step)
        progress.step += 1
        progress.tokens += tokens
        mean = loss if progress.step == 1 else 0.97 * mean + 0.03 * loss
        if progress.step % plan.say_every == 0 or progress.step == plan.steps:
            now = time.process_time()
            progress.cpu_s, clock = progress.cpu_s + now - clock, now
            progress.loss, progress.valid = mean, measure(net, valid, pad)
            _save(path, net, optimizers, progress)
            _say(progress, plan)
    return progress


def device() -> torch.device:
    """A GPU where there is one; the same seed gives other weights there than on a CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(net: Net, rows: Sequence[Row], pad: int, batch: int = 32) -> float:
    """Mean loss a token of the texts [nat]."""
    total, count = 0.0, 0
    with torch.no_grad():
        for at in range(0, len(rows), batch):
            tokens, chosen, goal = _stack(rows[at : at + batch], pad, net)
            loss = functional.cross_entropy(net(tokens, chosen), goal, reduction="sum")
            total, count = total + float(loss), count + len(goal)
    return total / max(1, count)


def load(folder: Path) -> Net:
    """The net of a folder, as its last checkpoint has it."""
    kept = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    net = Net(Size.from_json(kept["size"]))
    net.load_state_dict(kept["net"])
    return net


def progress_of(folder: Path) -> Progress:
    """How far the run in a folder is."""
    kept = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    return Progress(**kept["progress"])


def _learn(
    net: Net, optimizers: Sequence[Any], batch: Sequence[Row], pad: int, plan: Plan, step: int
) -> tuple[float, int]:
    """One step; its loss and how many tokens it read."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(step)
    tokens, chosen, goal = _stack(batch, pad, net)
    loss = functional.cross_entropy(net(tokens, chosen), goal)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), plan.clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach()), sum(len(prompt) + len(text) for prompt, text in batch)


def _optimizers(net: Net, plan: Plan) -> tuple[Any, Any]:
    matrices: list[Any] = []
    rest: list[Any] = []
    for name, weight in net.named_parameters():
        (matrices if weight.dim() == 2 and "embedding" not in name else rest).append(weight)
    muon = torch.optim.Muon(
        matrices,
        lr=plan.rate,
        momentum=0.95,
        weight_decay=plan.decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return muon, torch.optim.AdamW(rest, lr=plan.rate, betas=(0.9, 0.98), weight_decay=0.0)


def _batches(rows: Sequence[Row], plan: Plan, done: int) -> Iterator[list[Row]]:
    """The batches from step `done` on; each round over the rows is shuffled by its own seed."""
    stretch = plan.batch * _SORTED_TOGETHER
    step, turn = 0, 0
    while step < plan.steps:
        rng = random.Random(f"{plan.seed}:{turn}")
        order = list(range(len(rows)))
        rng.shuffle(order)
        for at in range(0, len(order), stretch):
            near = sorted(order[at : at + stretch], key=lambda i: len(rows[i][0]) + len(rows[i][1]))
            cuts = [near[i : i + plan.batch] for i in range(0, len(near), plan.batch)]
            rng.shuffle(cuts)
            for cut in cuts:
                if step >= plan.steps:
                    return
                if step >= done:
                    yield [rows[i] for i in cut]
                step += 1
        turn += 1


def _stack(rows: Sequence[Row], pad: int, net: Net) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (n, time), mask of the positions that count (n, time), and what should follow them."""
    time_max = max(len(prompt) + len(text) for prompt, text in rows) - 1
    tokens = torch.full((len(rows), time_max), pad)
    chosen = torch.zeros(len(rows), time_max, dtype=torch.bool)
    goal: list[int] = []
    for at, (prompt, text) in enumerate(rows):
        row = [*prompt, *text]
        tokens[at, : len(row) - 1] = torch.tensor(row[:-1])
        chosen[at, len(prompt) - 1 : len(row) - 1] = True
        goal += text
    where = next(net.parameters()).device
    return tokens.to(where), chosen.to(where), torch.tensor(goal).to(where)


def _save(path: Path, net: Net, optimizers: Sequence[Any], progress: Progress) -> None:
    kept = {
        "size": net.size.to_json(),
        "net": net.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "progress": {name: getattr(progress, name) for name in Progress.__slots__},
    }
    new = path.with_suffix(".new")
    torch.save(kept, new)
    new.replace(path)  # A run that is killed here leaves the checkpoint before.


def _restore(path: Path, net: Net, optimizers: Sequence[Any], progress: Progress) -> None:
    kept = torch.load(path, map_location="cpu", weights_only=True)
    if kept["size"] != net.size.to_json():
        raise ValueError(f"{path} is of another size: {kept['size']}. Remove it to start anew.")
    net.load_state_dict(kept["net"])
    for optimizer, state in zip(optimizers, kept["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    for name, value in kept["progress"].items():
        setattr(progress, name, value)


def _say(progress: Progress, plan: Plan) -> None:
    left = (plan.steps - progress.step) * progress.cpu_s / progress.step
    _log.info(
        "step %d/%d  loss %.4f  valid %.4f  %.2f M tokens  %.0f CPU-s, about %.0f left",
        *(progress.step, plan.steps, progress.loss, progress.valid),
        *(progress.tokens / 1e6, progress.cpu_s, left),
    )
