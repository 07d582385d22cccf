"""masked_language_modeling: which token stood where one is hidden, from plain text; prepares an encoder for a field's language.

B batch, T tokens, V vocabulary, M hidden tokens. Devlin et al. 2019, section 3.1: of the tokens asked for 80 % are hidden, 10 % are other tokens,
10 % stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import polars as pl
import torch
from annotated_types import Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from luban import catalog, pretrained, supervised
from luban.columns import Columns, Ragged
from luban.draw import mix
from luban.errors import RecipeError
from luban.messages import tr
from luban.schema import validate
from luban.task import Loss, Split, Traits
from luban.tokenizing import subwords

if TYPE_CHECKING:
    from luban.draw import Draw

ALIASES = {"fill-mask": {}}
DEFAULT = "bert"
ASKED = "\x00asked"  # whether a text's tokens are hidden to be told, or it holds masks of its own
GUESSES = 5
EVERY = 2**32


@dataclass(frozen=True)
class Batch:
    """Texts with hidden tokens, and what stood there."""

    inputs: dict[str, Tensor]  # column -> (B, T) int64, 0 = padding
    targets: dict[str, Tensor]  # column -> (B, T) int64, 0 = not asked for


@dataclass(frozen=True)
class Scored:
    """How well the hidden tokens of each text were told."""

    nats: Tensor  # (B,) float64, summed
    tokens: Tensor  # (B,) how many
    right: Tensor  # (B,) how many first guesses were right


@dataclass(frozen=True)
class Filled:
    """The likeliest tokens at each mask of some texts."""

    texts: list[list[int]]
    guesses: list[list[list[tuple[int, float]]]]  # text, mask, guess


class Network(nn.Module):
    """An encoder of tokens and the head that tells hidden ones; the head's table is the encoder's."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder, self.head = encoder, encoder.masked_head()

    def forward(self, tokens: Tensor, columns: Tensor, where: Tensor) -> Tensor:
        """(B, T) tokens, columns, and which are asked for -> (M, V)."""
        return self.head(self.encoder.states(tokens, columns)[where], self.encoder.words.weight)


class MaskedLanguageModeling:
    """A frozen (config, state)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What to learn."""

        inputs: dict[str, dict[str, Any]] = field(default_factory=dict)
        """Columns of text; several are read as one."""
        model: dict[str, Any] = field(default_factory=lambda: {"kind": "auto", "size": "small"})
        """The model section."""
        share: Annotated[float, Gt(0), Lt(1)] = 0.15
        """Of the tokens, asked for in each pass; at least one of a text."""

    @dataclass(frozen=True, kw_only=True)
    class State:
        """What was fitted."""

        inputs: dict[str, dict[str, Any]]

    split = Split(by="random")
    traits = Traits(trains_whole=True)
    metrics = ("nats_per_token", "masked_accuracy", "perplexity")

    def __init__(self, config: Config, state: Any = None) -> None:
        self.config, self.state = config, state

    @staticmethod
    def check_config(config: Config, where: str) -> None:
        """Refuse what cannot work before any data is read. Raises RecipeError L104, L109, L128, L295."""
        supervised.check_kinds(config.inputs, where)
        for column, section in config.inputs.items():
            if section["kind"] != "text" or section.get("tokenizer", "wordpiece") != "wordpiece":
                what, fix = tr("only texts cut by WordPiece have tokens to hide"), tr("leave the column or its tokenizer out")
                raise RecipeError(
                    "L295", what, where=f"{where}: inputs.{column}", received=section.get("tokenizer", section["kind"]), fix=fix
                )
        section = named(config.model)
        model = catalog.load("models", catalog.find("models", section["kind"], where=f"{where}: model.kind").name)
        if not hasattr(model, "masked_head"):
            good = [name for name, e in catalog.entries("models").items() if hasattr(catalog.load("models", name), "masked_head")]
            raise RecipeError(
                "L109", tr("this model is not for this task"), where=f"{where}: model.kind", received=section["kind"], allowed=good
            )
        supervised.model_config(section, where=f"{where}: model")
        if section.get("adapt", "full") in pretrained.SOLVED:
            what = tr("here a model is trained as a whole, or by adapters")
            raise RecipeError("L129", what, where=f"{where}: model.adapt", received=section["adapt"], allowed=["full", "lora"])

    def check_state(self) -> None:
        """Refuse a state that `fit` could not have made. Raises RecipeError L104 … L106, L123."""
        validate(self.State, supervised.hollow(self.state), where="state.json")
        one = next(iter(self.state["inputs"].values()), {})
        supervised.check_specs(self.config.inputs, self.state["inputs"], one, ("text",))
        if any(subwords.opened(spec["tokenizer"]) is None for spec in self.state["inputs"].values()):
            raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")

    @staticmethod
    def inputs_of(table: pl.DataFrame) -> dict[str, str]:
        """The column of text where the recipe names none: `text`, else all that hold texts."""
        texts = [name for name in table.columns if table.schema[name] == pl.String]
        return dict.fromkeys(["text"] if "text" in texts else texts, "text")

    def fit(self, table: pl.DataFrame) -> dict[str, Any]:
        """The tokenizer. Raises DataError L210 for a column without text."""
        inputs = {column: {"tokenizer": "wordpiece"} | section for column, section in self.config.inputs.items()}
        return {"inputs": supervised.fit_inputs(inputs, table, named(self.config.model))}

    def encode(self, table: pl.DataFrame) -> Columns:
        """Tokens of each text."""
        return supervised.encode_table(table, self.state["inputs"])

    def arrange(self, rows: Columns, asked: np.ndarray | None) -> Columns:
        """The asked rows; deployed, texts hold masks of their own."""
        kept = rows if asked is None else rows.take(np.flatnonzero(asked))
        return replace(kept, data=kept.data | {ASKED: np.full(len(kept), asked is not None)})

    def collate(self, examples: Columns, draw: Draw) -> Batch:
        """Tokens, some of them hidden; what is hidden depends on seed, pass and row alone."""
        inputs, targets = {}, {}
        draw = draw if draw.training else replace(draw, example=self.content(examples))  # a text is judged the same wherever it stands
        for column, spec in self.state["inputs"].items():
            texts = examples[column]
            if np.asarray(examples[ASKED]).all():
                texts, goal = hidden(texts, subwords.opened(spec["tokenizer"]), self.config.share, draw.within(column))
            else:
                goal = Ragged.of(np.zeros(int(texts.lengths.sum()), np.int32), texts.lengths)
            inputs[column], targets[column] = (torch.from_numpy(one.pad().astype(np.int64)) for one in (texts, goal))
        return Batch(inputs, targets)

    def content(self, examples: Columns) -> np.ndarray:
        """(B,) a number of each row that its tokens alone decide."""
        found = np.zeros(len(examples), np.uint64)
        for column in self.state["inputs"]:
            owner, within = examples[column].places()
            each = mix(mix(within.astype(np.uint64)) ^ examples[column].flat().astype(np.uint64))
            np.bitwise_xor.at(found, owner, each)
            found = mix(found)
        return (found >> np.uint64(1)).astype(np.int64)

    def build(self) -> nn.Module:
        """The encoder and its head."""
        section = named(self.config.model)
        return Network(supervised.encoder_of(section, self.state["inputs"]))

    def start(self, net: nn.Module) -> None:
        """Pretrained weights, the head's too where the checkpoint has one."""
        section = named(self.config.model)
        if section.get("pretrained"):
            spec = next(iter(self.state["inputs"].values()))
            pretrained.load(net.encoder, section, spec, head=net.head)  # type: ignore[arg-type]

    def joined(self, net: Any, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T) tokens, their columns, and targets in the same places."""
        tokens, columns = net.encoder.tokens(batch.inputs)
        goals = {name: torch.where(batch.inputs[name] > 0, goal + 1, 0) for name, goal in batch.targets.items()}
        goal, _ = net.encoder.tokens(goals, like=batch.inputs)
        return tokens, columns, (goal - 1).clamp(min=0)

    def losses(self, net: nn.Module, batch: Batch) -> Iterator[Loss]:
        """Mean over all hidden tokens."""
        tokens, columns, goal = self.joined(net, batch)
        where = goal > 0
        count = int(where.sum())
        logits = net(tokens, columns, where)
        yield Loss(F.cross_entropy(logits.float(), goal[where]) if count else logits.sum() * 0, count)

    def predict(self, net: nn.Module, batch: Batch) -> Scored | Filled:
        """How well hidden tokens are told; of texts with masks of their own, what they say there."""
        tokens, columns, goal = self.joined(net, batch)
        if not any(bool(one.any()) for one in batch.targets.values()):
            return self.filled(net, tokens, columns)
        where = goal > 0
        logits = net(tokens, columns, where).double()
        lost = F.cross_entropy(logits, goal[where], reduction="none")
        right = (logits.argmax(1) == goal[where]).double()
        row = where.nonzero()[:, 0]
        zero = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
        return Scored(zero.index_add(0, row, lost), where.sum(1), zero.index_add(0, row, right))

    def filled(self, net: Any, tokens: Tensor, columns: Tensor) -> Filled:
        """The likeliest tokens at each mask, and the texts with the first of them."""
        where = tokens == self.pieces.mask
        chance, found = net(tokens, columns, where).double().softmax(1).topk(GUESSES, 1)
        texts = [[i for i in row if i] for row in tokens.masked_scatter(where, found[:, 0]).tolist()]
        guesses: list[list[list[tuple[int, float]]]] = [[] for _ in texts]
        for place, row in enumerate(where.nonzero()[:, 0].tolist()):
            guesses[row].append(list(zip(found[place].tolist(), chance[place].tolist(), strict=True)))
        return Filled(texts, guesses)

    @property
    def pieces(self) -> subwords.Subwords:
        """The tokenizer, which all columns share."""
        found = subwords.opened(next(iter(self.state["inputs"].values()))["tokenizer"])
        if found is None:
            raise RecipeError("L123", tr("the state is not that of this recipe"), where="state.json: inputs")
        return found

    def answer(self, prediction: Scored | Filled) -> pl.DataFrame:
        """`text` with each mask filled, and for each mask the likeliest tokens with their chances."""
        if isinstance(prediction, Scored):
            return pl.DataFrame({name: getattr(prediction, name).tolist() for name in ("nats", "tokens", "right")})
        pieces = self.pieces
        schema = {"text": pl.String, "masks": pl.List(pl.List(pl.Struct({"token": pl.String, "chance": pl.Float64})))}
        rows = [
            (pieces.decode(text), [[{"token": pieces.name(i), "chance": round(c, 6)} for i, c in mask] for mask in masks])
            for text, masks in zip(prediction.texts, prediction.guesses, strict=True)
        ]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def judge(self, prediction: Scored, batch: Batch) -> dict[str, Any]:
        """Marks of the metrics of language models, and how many guesses were right."""
        return {name: getattr(prediction, name).cpu().numpy() for name in ("nats", "tokens", "right")}

    def rungs(self) -> tuple[MaskedLanguageModeling, ...]:
        """The encoder alone: `auto` has nothing else to choose from."""
        if self.config.model["kind"] != "auto":
            return ()
        return (type(self)(replace(self.config, model=named(self.config.model)), self.state),)

    def demo(self, count: int, seed: int) -> pl.DataFrame:
        """Sentences whose words go together, in two languages."""
        rng = np.random.default_rng(seed)
        en = (("the cat", "sees", "a small mouse"), ("the dog", "likes", "its old master"), ("a bird", "finds", "the high tree"))
        zh = (("小猫", "看见", "老鼠"), ("黄狗", "喜欢", "主人"), ("飞鸟", "找到", "大树"))
        texts = [("".join(zh[k]) + "。") if row % 2 else (" ".join(en[k]) + ".") for row, k in enumerate(rng.integers(0, 3, count))]
        return pl.DataFrame({"text": texts})


def hidden(texts: Ragged, pieces: Any, share: float, draw: Draw) -> tuple[Ragged, Ragged]:
    """(texts with some tokens hidden, what stood there and 0 elsewhere)."""
    tokens, most = texts.flat(), len(pieces)
    chance = draw.along(texts, "asked", EVERY).values
    open_to = (tokens != pieces.opens) & (tokens != pieces.closes)
    asked = open_to & (chance < int(share * EVERY))
    owner, _ = texts.places()
    if len(tokens):  # at least one of each text: the one with the lowest draw
        drawn = np.where(open_to, chance, EVERY)
        lowest = np.full(len(texts), EVERY, np.int64)
        np.minimum.at(lowest, owner, drawn)
        asked |= open_to & (drawn == lowest[owner])
    how, other = draw.along(texts, "how", 10).values, draw.along(texts, "other", most - 1).values + 1
    other = np.where(np.isin(other, (pieces.opens, pieces.closes, pieces.mask)), tokens, other)
    shown = np.where(asked & (how < 8), pieces.mask, np.where(asked & (how == 8), other, tokens))
    return Ragged.of(shown.astype(np.int32), texts.lengths), Ragged.of(np.where(asked, tokens, 0).astype(np.int32), texts.lengths)


def named(model: dict[str, Any]) -> dict[str, Any]:
    """The model section, `auto` as the encoder."""
    return model | {"kind": DEFAULT} if model["kind"] == "auto" else model
