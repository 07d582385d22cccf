"""What may be asked of a continuation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, MaxLen

Share = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How the next token is chosen, and when to stop."""

    max_tokens: Annotated[int, Ge(0), Le(1_048_576)] = 200
    """Tokens of an answer at most; the context may end it before. 0 = only score the prompt,
    as far as the context reaches."""
    temperature: Annotated[float, Ge(0), Le(100)] = 0.8
    """Logits are divided by it; 0 = always the likeliest token."""
    top_k: Annotated[int, Ge(0)] = 0
    """Choose among so many of the likeliest; 0 = all."""
    top_p: Share = 1.0
    """Choose among the likeliest whose chances first reach this sum (Holtzman et al. 2020)."""
    min_p: Annotated[float, Ge(0), Le(1)] = 0.0
    """Leave out what is less likely than this share of the likeliest."""
    repetition_penalty: Annotated[float, Gt(0), Le(100)] = 1.0
    """Divides the positive logits of tokens already there, multiplies the negative ones (Keskar et al. 2019, section 4.1)."""
    stop: Annotated[tuple[Annotated[str, MaxLen(200)], ...], MaxLen(16)] = ()
    """Texts that end an answer, and are left out of it."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """The same seed, prompt and settings give the same answer, whoever else is answered beside it."""
