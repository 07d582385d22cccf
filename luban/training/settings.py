"""What a recipe may say about training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

Share = Annotated[float, Ge(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Training:
    """The `[training]` section."""

    budget: str | None = None
    """For the whole run, evaluation included: time (`90 s`, `10 min`, `2 h`), energy (`0.02 kWh`: the processor's counters where they can be
    read, else 7 W a busy core; a GPU is not counted) or money (`¥3`, at the prices under `[costs]`). The learning rate is annealed by
    the share spent."""
    epochs: Annotated[float, Gt(0), Le(10**9)] | None = None
    """Passes over the training rows. Left out, without steps: what the architecture suggests, more where rows are few; for images what
    the budget allows, or without one about 400,000 rows, 4 to 100 passes."""
    steps: Annotated[int, Gt(0), Le(10**12)] | None = None
    """Optimizer steps. Of budget, epochs and steps the first to be spent ends the training."""
    batch_size: Annotated[int, Gt(0), Le(10**9)] | Literal["all"] | None = None
    """Examples in a step, on average where lengths vary; `all` is full-batch. Left out: a hundredth of the rows, 16 to 256."""
    accumulation: Annotated[int, Gt(0), Le(65_536)] = 1
    """Micro-batches a step is cut into: the same gradient in less memory."""
    optimizer: Literal["adamw", "adam", "sgd", "gd", "muon"] = "adamw"
    """`adamw` with β 0.9, 0.99; `adam` with 0.9, 0.999 and no decay; `sgd` with classical `momentum`; `gd` is gradient descent on all
    rows at once; `muon` orthogonalises hidden matrices (Jordan et al. 2024), the rest as `adamw`."""
    learning_rate: Annotated[float, Gt(0)] | None = None
    """Left out: what each architecture asks for."""
    momentum: Share = 0.9
    """Of `sgd` and `muon`."""
    weight_decay: Annotated[float, Ge(0)] | None = None
    """Decoupled (Loshchilov and Hutter 2019), on matrices, not on biases and norms. Left out: what each architecture asks for."""
    l2: Annotated[float, Ge(0)] = 0.0
    """λ of the penalty λ/2m Σθ² over m training rows, biases excluded."""
    warmup: Share = 0.05
    """Share of the training in which the learning rate rises from 0."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to 0 afterwards."""
    clip_norm: Annotated[float, Ge(0)] = 1.0
    """Largest norm of the gradient; 0 = never clipped."""
    ema: Annotated[float, Ge(0), Le(0.99999)] = 0.0
    """Decay of an averaged copy of the weights, used for validation and the bundle; 0 = none."""
    patience: Annotated[int, Ge(0), Le(10**6)] = 10
    """Validations without a better score before training stops; 0 = never."""
    validations: Annotated[int, Gt(0), Le(10**6)] = 40
    """At most so many in a run, evenly; under a budget they take at most a tenth of the time."""
    stop_loss: float | None = None
    """Stop when the mean training loss of an epoch falls to this."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto`: a GPU where there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto`: bfloat16 products where a trial of a few steps shows them faster by a fifth, else float32."""
    compile: Literal["auto", "on", "off"] = "auto"
    """`auto`: the network is compiled where more than five minutes of training are ahead and a trial shows that it pays; needs a C++
    compiler. Compiled sums may differ in the last bits."""
    threads: Annotated[int, Gt(0), Le(1024)] | None = None
    """Left out: the cores this process may use, or one where a step is too small to share."""
    memory: str | None = None
    """What preparing and training may hold, program and libraries (0.8 GB) included: `2 GB`; at least `1 GB`. Larger data is streamed
    from the disk, and what must be learnt from rows held at once is learnt from a sample, said aloud. Left out: half of the RAM of the
    machine or container."""
    checkpoint_every_s: Annotated[float, Gt(0)] = 30.0
    """Seconds of training between checkpoints: what a kill can cost."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """Of the split, the initial weights, the order and every draw."""
