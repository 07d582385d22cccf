"""linear: TF-IDF of token n-grams, plain numbers and one-hot names into a logistic or ridge regression; solved, not stepped.

B batch, G n-grams, D dense features, O outputs. TF-IDF with sublinear counts: Manning, Raghavan and Schütze 2008, ch. 6;
n-grams weighed by naive Bayes log-count ratios: Wang and Manning 2012, eq. 2-4. Many labels of a text: one against the rest.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from luban.layers.dense import Buckets
from luban.layers.hashing import hashed_ngrams
from luban.layers.weighing import row_weights

if TYPE_CHECKING:
    from luban.roles import SupervisedBatch

ROLE, TAKES = "predictor", ("number", "category", "tags", "text", "image", "date", "series")
SIZES = {"tiny": {"buckets": 65_536}, "small": {"buckets": 2_097_152}, "base": {"buckets": 4_194_304}}
SEARCH_VALUES = 8_000_000  # non-zero values times outputs, above which nothing is searched
DENSE_VALUES = 20_000_000
MOST_WEIGHTS, FEWEST_BUCKETS = 2**24, 2**16  # many labels share the memory
STRENGTHS = {"text": (3.0, 20.0, 60.0), "table": (0.3, 3.0, 20.0)}
FULL = 0.3  # share of values that are not 0, above which a matrix is kept dense
LONGEST = 16
BUCKET_BYTES, VALUE_BYTES = 80, 64  # held while solving
LENGTHS = (2, 4)  # of n-grams: words of an alphabet do with pairs, single Han characters want more


class Linear(nn.Module):
    """Weights over sparse features; scikit-learn finds them, torch answers."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Features and penalty."""

        longest: Annotated[int, Ge(1), Le(LONGEST)] | None = None
        """n of the longest n-grams of tokens; left out, the better of 2 and 4 on a fifth of the training rows."""
        buckets: Buckets = 2_097_152
        """Hash buckets per text column; where two n-grams share one, both are blurred."""
        strength: Annotated[float, Gt(0)] | None = None
        """C, the inverse of the L2 penalty; left out, the best of three on a fifth of the training rows."""

    label_weights: Tensor | None = None  # only while solving
    stands_for = 1.0  # rows that each row solved with stands for, in a forecast

    longest: Tensor  # () n of the longest n-grams
    idf: Tensor  # (texts · (buckets + 1),)
    sparse_weight: Tensor  # (texts · (buckets + 1), O)
    dense_weight: Tensor  # (D, O)
    bias: Tensor  # (O,)

    def __init__(self, config: Linear.Config, specs: dict[str, Any], out_dim: int, *, aim: str) -> None:
        super().__init__()
        self.config, self.specs, self.aim = config, specs, aim
        self.against_rest = aim == "label" and out_dim > 1 and any(spec["kind"] == "text" for spec in specs.values())
        self.texts = [column for column, spec in specs.items() if spec["kind"] == "text"]
        self.dense_dim = sum(dense_width(spec) for column, spec in specs.items() if column not in self.texts)
        self.buckets = min(config.buckets, max(FEWEST_BUCKETS, MOST_WEIGHTS // out_dim))
        sparse_dim = len(self.texts) * (self.buckets + 1)
        self.register_buffer("longest", torch.tensor(config.longest or LENGTHS[-1]))
        self.register_buffer("idf", torch.ones(sparse_dim))
        self.register_buffer("sparse_weight", torch.zeros(sparse_dim, out_dim))
        self.register_buffer("dense_weight", torch.zeros(self.dense_dim, out_dim))
        self.register_buffer("bias", torch.zeros(out_dim))

    def check_buffers(self) -> None:
        """Refuse weights from a stranger that would make it compute without end. Raises ValueError."""
        if not 1 <= int(self.longest) <= LONGEST:
            raise ValueError("longest")

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, O)."""
        out = self.dense(inputs) @ self.dense_weight + self.bias
        for place, column in enumerate(self.texts):
            index, value = self.tfidf(inputs[column], place)
            out = out + nn.functional.embedding_bag(index, self.sparse_weight, per_sample_weights=value, mode="sum")
        return nn.functional.logsigmoid(out) if self.against_rest else out  # softmax of which is σ(z) / Σσ(z)

    def dense(self, inputs: dict[str, Any]) -> Tensor:
        """(B, D): numbers with a flag where missing, names as one-hot."""
        parts = [dense_features(inputs[column], spec) for column, spec in self.specs.items() if column not in self.texts]
        rows = len(next(iter(inputs.values())))
        return torch.cat(parts, dim=1).float() if parts else torch.zeros(rows, 0, device=self.bias.device)

    def tfidf(self, ids: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """(B, G) feature indices and their weights, of unit length; a repeated n-gram stands once, with 1 + log of its count."""
        grams = hashed_ngrams(ids, range(1, int(self.longest) + 1), self.buckets)
        grams, _ = grams.sort(dim=1)
        first = torch.ones_like(grams, dtype=torch.bool)
        first[:, 1:] = grams[:, 1:] != grams[:, :-1]
        first &= grams > 0
        group = first.cumsum(1)  # (B, G) number of the run each n-gram belongs to
        counts = torch.zeros(len(grams), grams.shape[1] + 1, device=grams.device).scatter_add_(1, group, (grams > 0).float())
        index = grams + place * (self.buckets + 1)
        value = torch.where(first, 1 + counts.gather(1, group).clamp(min=1).log(), 0.0) * self.idf[index]
        return index, value / value.norm(dim=1, keepdim=True).clamp(min=1e-9)

    def weigh(self, batch: SupervisedBatch) -> tuple[float, float]:
        """For each bucket and for each n-gram of each row: the matrix twice, its scaled copy, and what the solver makes of it."""
        tokens = sum(float((batch.inputs[column] > 0).sum()) for column in self.texts) / max(1, len(batch.target))
        return BUCKET_BYTES * len(self.idf), VALUE_BYTES * (tokens * LENGTHS[-1] + self.dense_dim)

    def solve(self, batches: Iterable[SupervisedBatch]) -> Iterator[float]:
        """Count documents, choose n-grams and penalty on a fifth of the rows, then fit on all of them."""
        self.label_weights = next(iter(batches)).weights
        lengths = LENGTHS if self.texts and self.config.longest is None else (int(self.longest),)
        found = []
        for length in lengths:
            self.longest.fill_(length)
            self.count_documents(batches)
            features, target = self.matrix(batches)
            found.append((*choose(features, target, self), length, self.idf.clone(), features, target))
            yield 0.7 * len(found) / len(lengths)
        _, strength, length, idf, features, target = min(found, key=lambda trial: trial[0])
        self.longest.fill_(length)
        self.idf.copy_(idf)
        weight, bias = fit(features, target, strength, self)
        texts = len(self.idf)
        self.sparse_weight.copy_(torch.from_numpy(weight[:texts]))
        self.dense_weight.copy_(torch.from_numpy(weight[texts:]))
        self.bias.copy_(torch.from_numpy(bias))
        yield 1.0

    def count_documents(self, batches: Iterable[SupervisedBatch]) -> None:
        """idf = ln((1 + n) / (1 + df)) + 1."""
        if not self.texts:
            return
        self.idf.fill_(1.0)
        seen, rows = torch.zeros(len(self.idf)), 0
        for batch in batches:
            for place, column in enumerate(self.texts):
                index, value = self.tfidf(batch.inputs[column], place)
                seen += torch.bincount(index[value > 0], minlength=len(seen))
            rows += len(batch.target)
        self.idf.copy_(((1 + rows) / (1 + seen)).log() + 1)

    def matrix(self, batches: Iterable[SupervisedBatch]) -> tuple[Any, np.ndarray]:
        """All training rows, texts first, and their targets: a sparse matrix, or where the first batch is full of values a dense one."""
        import scipy.sparse as sp

        rows: list[Any] = []
        targets, full = [], False
        for batch in batches:
            dense = self.dense(batch.inputs).numpy()
            full = full or (not rows and not self.texts and np.count_nonzero(dense) > FULL * dense.size)
            rows.append(dense if full else sp.hstack([*self.counted(batch), sp.csr_matrix(dense)], format="csr"))
            targets.append(batch.target.numpy())
        return np.concatenate(rows) if full else sp.vstack(rows, format="csr"), np.concatenate(targets)

    def counted(self, batch: SupervisedBatch) -> list[Any]:
        """The n-grams of all texts in one sparse matrix; none where there are no texts."""
        import scipy.sparse as sp

        parts = []
        for place, column in enumerate(self.texts):
            index, value = self.tfidf(batch.inputs[column], place)
            row, at = (value > 0).nonzero(as_tuple=True)
            shape = (len(index), len(self.idf))
            parts.append(sp.csr_matrix((value[row, at].numpy(), (row.numpy(), index[row, at].numpy())), shape=shape))
        return [sum(parts)] if parts else []


def dense_width(spec: dict[str, Any]) -> int:
    """Columns a feature fills."""
    match spec["kind"]:
        case "number":
            return 2
        case "category":
            return len(spec["names"]) + 1
        case "tags":
            return len(spec["names"])
        case "image":
            return spec["channels"] * spec["size"][0] * spec["size"][1]
        case "series":
            return spec["longest"] * spec["numbers"]
        case _:
            return 9  # date


def dense_features(x: Tensor, spec: dict[str, Any]) -> Tensor:
    """(B, width); NaN = missing becomes 0."""
    match spec["kind"]:
        case "number":
            return torch.stack([x.nan_to_num(0.0), x.isnan().to(x.dtype)], dim=1)
        case "category":
            return nn.functional.one_hot(x, len(spec["names"]) + 1)
        case "series":
            flat = x.flatten(1).nan_to_num(0.0)
            wanted = dense_width(spec)
            return nn.functional.pad(flat, (0, max(0, wanted - flat.shape[1])))[:, :wanted]
        case _:
            return x.flatten(1).nan_to_num(0.0)


def fit(features: Any, target: np.ndarray, strength: float, net: Linear) -> tuple[np.ndarray, np.ndarray]:
    """(features, O) weights and (O,) biases."""
    outputs = len(net.bias)
    features, target = taught(features, target, net)
    if net.aim == "number":
        weight, bias = regress(sparse(features), target, strength)
        return weight[:, None], bias[None]
    if net.aim == "tags":
        return against_rest(sparse(features), [target[:, tag] > 0.5 for tag in range(outputs)], strength, len(net.idf) if net.texts else 0)
    return classify(features, target, strength, net)


def sparse(features: Any) -> Any:
    """The same as a sparse matrix."""
    import scipy.sparse as sp

    return sp.csr_matrix(features) if isinstance(features, np.ndarray) else features


def taught(features: Any, target: np.ndarray, net: Linear) -> tuple[Any, np.ndarray]:
    """The rows that have a target."""
    keep = known(target, net)
    return (features, target) if keep.all() else (features[keep], target[keep])


def known(target: np.ndarray, net: Linear) -> Any:
    """(N,) which rows have a target."""
    if net.aim == "label":
        return target >= 0
    return ~np.isnan(target) if net.aim == "number" else ~np.isnan(target).any(1)


def classify(features: Any, target: np.ndarray, strength: float, net: Linear) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression: of texts one output at a time, else of all labels at once."""
    outputs, texts = len(net.bias), len(net.idf) if net.texts else 0
    counts = row_weights(target, net.label_weights)
    if outputs == 1:
        return against_rest(sparse(features), [target == 1], strength, texts, counts)
    if net.against_rest:
        return against_rest(sparse(features), [target == label for label in range(outputs)], strength, texts, counts)
    return multinomial(features, target, strength, outputs, counts)


def against_rest(
    features: Any, goals: list[np.ndarray], strength: float, texts: int, counts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One logistic regression a goal (N,) bool; the first `texts` features are weighed by their log-count ratio."""
    import scipy.sparse as sp
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((features.shape[1], len(goals)), np.float32), np.zeros(len(goals), np.float32)
    used = np.unique(features.indices)  # the weights of all others stay 0, and the solver would go over them in every step
    features, texts = features[:, used], int((used < texts).sum())
    for place, goal in enumerate(goals):
        if goal.all() or not goal.any():
            bias[place] = 20.0 if goal.all() else -20.0
            continue
        scale = np.ones(features.shape[1])
        if texts:
            scale[:texts] = log_count_ratio(features[:, :texts], goal)
        model: Any = LogisticRegression(C=strength, solver="liblinear", tol=1e-2, random_state=0)
        with quiet():
            model.fit(features @ sp.diags(scale), goal, sample_weight=counts)
        weight[used, place], bias[place] = scale * model.coef_[0], model.intercept_[0]
    return weight, bias


def log_count_ratio(features: Any, goal: np.ndarray) -> np.ndarray:
    """(features,) ln of a feature's share among those of the goal's rows over its share among the others'; one is added to each count."""
    there = features.astype(bool)
    p, q = (np.asarray(there[rows].sum(0)).ravel() for rows in (goal, ~goal))
    seen = p + q > 0
    p, q = p[seen] + 1.0, q[seen] + 1.0
    ratio = np.zeros(features.shape[1])
    ratio[seen] = np.log((p / p.sum()) / (q / q.sum()))
    return ratio


def multinomial(
    features: Any, target: np.ndarray, strength: float, outputs: int, counts: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """All labels at once; one that no row has is out of reach."""
    from sklearn.linear_model import LogisticRegression

    weight, bias = np.zeros((features.shape[1], outputs), np.float32), np.full(outputs, -20.0, np.float32)
    found = np.unique(target).astype(int)
    if len(found) < 2:
        bias[found] = 0.0
        return weight, bias
    if not isinstance(features, np.ndarray) and features.nnz > FULL * features.shape[0] * features.shape[1]:
        features = features.toarray()
    model: Any = LogisticRegression(C=strength, max_iter=100, tol=1e-3)
    with quiet():
        model.fit(features, target, sample_weight=counts)
    pair = len(found) == 2
    weight[:, found] = (np.r_[-model.coef_, model.coef_] / 2 if pair else model.coef_).T
    bias[found] = np.r_[-model.intercept_, model.intercept_] / 2 if pair else model.intercept_
    return weight, bias


def regress(features: Any, target: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression with an unpenalised intercept: exactly where the columns in use fit into memory, else by conjugate gradients."""
    from sklearn.linear_model import Ridge

    used, weight = np.flatnonzero(features.getnnz(0)), np.zeros(features.shape[1], np.float32)
    features = features[:, used]
    if features.shape[0] * features.shape[1] <= DENSE_VALUES:
        features = features.toarray().astype(np.float64)
    with quiet():
        model: Any = Ridge(alpha=1 / strength).fit(features, target.astype(np.float64))
    weight[used] = model.coef_
    return weight, np.asarray(model.intercept_, np.float32)


def choose(features: Any, target: np.ndarray, net: Linear) -> tuple[float, float]:
    """(loss, strength): the best strength on every fifth row, where that is cheap; else the one asked for, or 3."""
    features, target = taught(features, target, net)
    values = np.count_nonzero(features) if isinstance(features, np.ndarray) else features.nnz
    held = np.arange(len(target)) % 5 == 4
    strengths = STRENGTHS["text" if net.texts else "table"] if net.config.strength is None else (net.config.strength,)
    settled = len(strengths) == 1 and (net.config.longest is not None or not net.texts)
    if settled or values * len(net.bias) * net.stands_for > SEARCH_VALUES or held.sum() < 20 or net.aim == "tags":
        return 0.0, strengths[len(strengths) // 2]
    return min((held_out_loss(features, target, held, strength, net), strength) for strength in strengths)


def held_out_loss(features: Any, target: np.ndarray, held: np.ndarray, strength: float, net: Linear) -> float:
    """Mean squared error, or mean negative log likelihood, on the rows held out."""
    weight, bias = fit(features[~held], target[~held], strength, net)
    logits = torch.from_numpy(np.asarray(features[held] @ weight + bias)).double()
    goal = torch.from_numpy(target[held])
    if net.aim == "number":
        return float((logits[:, 0] - goal).square().mean())
    counts = row_weights(target[held], net.label_weights)
    weight = None if counts is None else torch.from_numpy(counts)
    if logits.shape[1] == 1:
        return float(nn.functional.binary_cross_entropy_with_logits(logits[:, 0], goal.double(), weight))
    logits = nn.functional.logsigmoid(logits) if net.against_rest else logits
    lost = nn.functional.cross_entropy(logits, goal, reduction="none")
    return float((lost if weight is None else lost * weight).mean())


@contextmanager
def quiet() -> Iterator[None]:
    """A solver that stops a little early is good enough for a rung."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
