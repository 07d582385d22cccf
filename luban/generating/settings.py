"""What may be asked of a continuation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

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
    json_schema: dict[str, Any] | None = None
    """Answers are JSON that this schema allows, unless `max_tokens` or the context cuts them."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """The same seed, prompt and settings give the same answer, whoever else is answered beside it."""

    def __post_init__(self) -> None:
        """Raises RecipeError L279 for a schema that cannot be promised."""
        if self.json_schema is not None:
            from luban.generating.json_schema import grammar_of

            grammar_of(self.json_schema)


@dataclass(frozen=True, kw_only=True)
class Search:
    """How an answer to a source is looked for. Lengths are of tokens: the end counts to the most, not to the least; what was given to begin with never."""

    beams: Annotated[int, Gt(0), Le(256)] = 4
    """Answers followed side by side; 1 = always the likeliest token."""
    best: Annotated[int, Gt(0), Le(256)] = 1
    """Answers given, best first; as many beams at least are followed."""
    length_penalty: Annotated[float, Ge(-10), Le(10)] = 1.0
    """Answers are ranked by the logarithm of their chance over their length to this power; 0 = by the chance alone, which favours short ones."""
    no_repeat: Annotated[int, Ge(0), Le(64)] = 0
    """No run of so many tokens twice in an answer (Paulus et al. 2018, section 2.5); 0 = any."""
    min_tokens: Annotated[int, Ge(0), Le(1_048_576)] = 0
    """An answer ends after so many at least."""
    max_tokens: Annotated[int, Gt(0), Le(1_048_576)] = 200
    """Tokens of an answer at most; the model's context may end it before."""
    min_ratio: Annotated[float, Ge(0), Le(100)] = 0.0
    """An answer has so many tokens at least for each of its source."""
    max_ratio: Annotated[float, Ge(0), Le(1000)] = 0.0
    """An answer has so many at most for each token of its source, and `spare` more; 0 = no such bound."""
    spare: Annotated[int, Ge(0), Le(1_048_576)] = 10
    """Tokens beyond `max_ratio`, so that an answer to a short source has room."""
    keep: Annotated[float, Ge(0), Le(100)] = 0.0
    """Nats by which going on with a number or name of the source, once begun, is favoured, and which ending without it costs; 0 = not at all."""

    @property
    def width(self) -> int:
        """Beams followed."""
        return max(self.beams, self.best)
