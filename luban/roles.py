"""What an architecture promises to the tasks that use it. A model file states `ROLE`, and `TAKES`, the kinds it reads.

A role fixes the constructor, forward's signature, the shapes, and the fields of a batch that a solved model may read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Inputs = dict[str, Any]  # column -> what its kind's collate gives


class Encoder(Protocol):
    """ROLE = "encoder": reads columns of the kinds it TAKES into one vector a row.

    A file that states MANY is built once for all columns of the kinds it names there; else once for each.
    """

    Config: ClassVar[type]
    out_dim: int

    def __init__(self, config: Any, specs: dict[str, dict[str, Any]]) -> None: ...

    def __call__(self, inputs: Inputs) -> Tensor:
        """(B, out_dim); a row never depends on its neighbours nor on padding."""
        ...


class SupervisedBatch(Protocol):
    """The fields a solved predictor may read."""

    inputs: Inputs
    target: Tensor  # (B,) int64, below 0 = none; (B, K) float for tags; (B,) float for numbers; NaN = none
    weights: Tensor | None  # (labels,) what a row of each label counts; None = all alike


class Predictor(Protocol):
    """ROLE = "predictor": from all columns to one output a class, or one number."""

    Config: ClassVar[type]

    def __init__(self, config: Any, specs: dict[str, dict[str, Any]], out_dim: int, *, aim: str) -> None: ...

    def __call__(self, inputs: Inputs) -> Tensor:
        """(B, out_dim) logits, or scaled numbers."""
        ...

    def solve(self, batches: Iterable[SupervisedBatch]) -> Iterator[float]:
        """Only of closed forms, trees and counts: see task.Solves."""
        ...


class Causal(Protocol):
    """ROLE = "causal": says of each token what follows it. `corpus` is at least the number of tokens it will learn from, 0 = unknown."""

    Config: ClassVar[type]
    num_tokens: int
    context: int  # tokens seen at once

    def __init__(self, config: Any, num_tokens: int, corpus: int = 0) -> None: ...

    def hidden(
        self, tokens: Tensor, *, segments: Tensor | None = None, cache: Any = None, first: int = 0, there: Tensor | None = None
    ) -> Tensor:
        """(B, T) tokens -> (B, T, …) what `logits` reads; a token never depends on those after it, nor on another segment's.

        With a cache the tokens go on from what its slots `first` … `first + B - 1` hold. `there` (B, T) bool says which of them are no
        padding, on the right: only these are answered, (1, N, …) row by row.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V) scores whose softmax is the chance of each token to follow."""
        ...

    def cache(self, slots: int, capacity: int) -> Any:
        """Room for so many sequences of so many tokens, with `lengths`, `move`, `reorder` and `clear` as layers/cache.py has them."""
        ...

    def solve(self, batches: Iterable[CausalBatch]) -> Iterator[float]:
        """Only of counts: see task.Solves."""
        ...


class SequenceToSequence(Protocol):
    """ROLE = "seq2seq": says of each token of an answer what follows it, given a source. One vocabulary serves both sides.

    `corpus` is at least the number of answer tokens it will learn from, 0 = unknown.
    """

    Config: ClassVar[type]
    num_tokens: int
    context: int  # tokens of a source, and of an answer, at most

    def __init__(self, config: Any, num_tokens: int, corpus: int = 0) -> None: ...

    def encode(self, source: Tensor, known: Tensor) -> Any:
        """(B, S) tokens and (B, S) which of them are there -> what `hidden` attends to, with `reorder(rows)` as layers/cache.py has it.

        A row never depends on its neighbours nor on padding.
        """
        ...

    def hidden(self, tokens: Tensor, memory: Any, *, cache: Any = None) -> Tensor:
        """(R, T) tokens of answers -> (R, T, …) what `logits` reads; a token never depends on those after it.

        R is a multiple of the memory's sources: the first R/B rows answer the first source, and so on. With a cache the tokens go on
        from what its first R slots hold; the caller then moves `cache.lengths` on.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., V) scores whose softmax is the chance of each token to follow."""
        ...

    def cache(self, slots: int, capacity: int) -> Any:
        """Room for so many answers of so many tokens, with `lengths`, `move`, `reorder` and `clear` as layers/cache.py has them."""
        ...

    def attention(self, tokens: Tensor, memory: Any) -> Tensor:
        """(B, T, S) how much each token of an answer looked at each of the source; rows sum to 1."""
        ...


@dataclass(frozen=True)
class Vocabulary:
    """What is known of the tokens of two texts."""

    size: int  # V, tags included
    special: int  # tokens from here on are no text: they ask for a language
    end: int  # stands behind every source, and ends an answer
    begins: Any  # (V,) bool array, which tokens begin a word


class Rewriter(Protocol):
    """ROLE = "rewriter": answers a source at once, word by word or by a rule; solved. `corpus` as of SequenceToSequence."""

    Config: ClassVar[type]

    def __init__(self, config: Any, vocabulary: Vocabulary, corpus: int = 0) -> None: ...

    def rewrite(self, sources: Sequence[Any]) -> list[tuple[list[int], float]]:
        """Token arrays of sources, marks included -> for each the tokens of its answer, and the logarithm of how far it can be believed."""
        ...

    def solve(self, batches: Iterable[PairBatch]) -> Iterator[float]:
        """See task.Solves."""
        ...


class PairBatch(Protocol):
    """The fields a solved rewriter may read."""

    source: Tensor  # (B, S) int64
    known: Tensor  # (B, S) bool, which tokens are there
    targets: Tensor | None  # (B, T) int64, the end last; below 0 = nothing


class CausalBatch(Protocol):
    """The fields a solved causal model may read."""

    tokens: Tensor  # (B, T) int64
    targets: Tensor  # (B, T) int64 what follows each, below 0 = nothing to learn
    segments: Tensor | None  # (B, T) the document of each token


@dataclass(frozen=True)
class Sizes:
    """What a recommender is built for."""

    users: int
    items: int
    pairs: int  # of user and item in the training rows
    content: Any = None  # `inputs(items)`, what describes some items: column -> what its kind's collate gives; None = nothing does
    encoders: tuple[Any, ...] = ()  # of the content, built by the task
    counts: Any = None  # (items,) users of each in the training rows
    people: Any = None  # `inputs(users)`, what describes some users, as `content` does items
    people_encoders: tuple[Any, ...] = ()
    in_time: bool = False  # whether histories stand in the order of time; else what stands first says nothing


class Histories(Protocol):
    """The fields a recommender may read: what some users took, one history after the other."""

    user: Tensor  # (B,) int64 code, below 0 = never seen in training
    lengths: Tensor  # (B,) int64 items of each history
    history: Tensor  # (E,) int64 codes of items, oldest first
    amount: Tensor  # (E,) float32, above 0
    owner: Tensor  # (E,) int64 the user of the batch that each item belongs to
    sampled: Tensor | None  # (B, S) items drawn for each user, in training where the model asks for some (`drawn`)
    before: Tensor | None  # (E,) bool, where a model learns from items to come: what came before them
    about: dict[str, Any]  # what a question says of its users, as `Sizes.people` would; {} = nothing

    def places(self, width: int) -> tuple[Tensor, Tensor]:
        """(B, width) where in all histories the latest of each stand, and which of the places are filled."""
        ...

    def pad(self, width: int) -> tuple[Tensor, Tensor]:
        """(B, width) the latest items of each history on the right, and which of the places are filled."""
        ...

    def dense(self, num_items: int) -> Tensor:
        """(B, I) amounts, 0 for what is not in the history."""
        ...


class Recommender(Protocol):
    """ROLE = "recommender": from what users took to a score for every item.

    `objective` says what it learns from: "" it is solved, "pairwise" an item taken against one that was not, "next" the item that
    followed each in a history, "pool" an item of a history against those of the others in the step.
    """

    Config: ClassVar[type]
    objective: ClassVar[str]

    def __init__(self, config: Any, sizes: Sizes) -> None: ...

    def query(self, batch: Histories, memory: Any) -> Any:
        """What scoring needs of the users; `memory.matrix()` is what training saw, users by items."""
        ...

    def score(self, query: Any, start: int, stop: int) -> Tensor:
        """(B, stop - start) scores of the items from `start`, which the ranking writes over; a user's never depend on the others."""
        ...

    def knows(self, batch: Histories) -> Tensor:
        """Only where it reads what describes users: (B,) bool, of whom it knows something without a history."""
        ...

    def vectors_of(self, query: Any) -> tuple[Tensor, Tensor]:
        """Only where a score is a product of vectors: (B, D) of the users, (I, D) of the items."""
        ...

    def affinity(self, left: Tensor, right: Tensor) -> Tensor:
        """(P,) how much an item taken speaks for another; 0 where the model does not say."""
        ...

    def solve(self, batches: Iterable[Histories]) -> Iterator[float]:
        """Only of closed forms and counts: see task.Solves."""
        ...

    def rate(self, batch: Histories, items: Tensor) -> Tensor:
        """Only of objective "pairwise": (E,) the score of one item for each item of the histories."""
        ...


class Asked(Protocol):
    """The fields a solved reader may read."""

    question: Tensor  # (B, Q) int64, 0 = padding
    context: Tensor  # (W, S) int64, pieces of contexts
    owner: Tensor  # (W,) int64 the question of each


class Reader(Protocol):
    """ROLE = "reader": where in a context the answer to a question begins and where it ends."""

    Config: ClassVar[type]

    def __init__(self, config: Any, num_tokens: int) -> None: ...

    def __call__(self, tokens: Tensor, columns: Tensor) -> Tensor:
        """(W, T) a question and a piece of its context, (W, T) which of both each is -> (W, T, 2); the first token's say that there is none."""
        ...

    def solve(self, batches: Iterable[Asked]) -> Iterator[float]:
        """Only of closed forms and counts: see task.Solves."""
        ...


class Retriever(Protocol):
    """ROLE = "retriever": which passages of a collection speak of what a question asks. `sizes` are those of what it keeps of each of its CUTS."""

    Config: ClassVar[type]
    CUTS: ClassVar[tuple[str, ...]]  # of retrieving.terms: how texts become the keys of terms
    evidence_dim: int

    def __init__(self, config: Any, sizes: dict[str, Any]) -> None: ...

    def index(self, passages: dict[str, Any]) -> None:
        """Cut -> the keys of every passage, as spans."""
        ...

    def search(self, question: dict[str, Any], cosines: Any = None) -> tuple[Any, Any]:
        """Cut -> the keys of a question -> (P,) scores, and (P, evidence_dim) of each passage what tells whether it is right.

        `cosines` (P,) are those of an encoder's vectors, where there is one.
        """
        ...

    def solve(self, batches: Iterable[Any]) -> Iterator[float]:
        """All is done by `index`: see task.Remembers."""
        ...
