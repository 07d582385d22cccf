"""boosted: gradient-boosted trees, grown by scikit-learn's histograms, kept and answered as tensors of fixed size.

B batch, F columns, R trees, N nodes of a tree, O outputs. Friedman 2001, eq. 9: F(x) = F0 + Σ f_m(x).
A missing number goes the way the split says; a missing or unseen name is a missing value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from luban.layers.dense import Width
from luban.layers.weighing import row_weights

if TYPE_CHECKING:
    from luban.roles import SupervisedBatch

ROLE, TAKES = "predictor", ("number", "category", "tags", "date")
SIZES = {"tiny": {"rounds": 100, "leaves": 15}, "small": {"rounds": 500, "leaves": 31}, "base": {"rounds": 1000, "leaves": 63}}
MOST_NAMES = 255  # a column with more is read as plain codes
OUT_OF_REACH = 20.0  # as a logit
BLOCK, ROWS = 64, 1024  # trees and rows walked at once: what is held of them stays near the processor
MOST_TREES, FEWEST_ROUNDS = 8000, 8  # many labels share the memory
UNWATCHED_ROUNDS = 100  # where rows are too few to hold some out
VALUE_BYTES = 40  # held while growing
SMALL = 200_000  # values, below which threads wait for each other longer than they work


class Boosted(nn.Module):
    """Trees side by side; each row walks all of them, one level at a time."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many trees, of what size."""

        rounds: Width = 500
        """Trees per output at most; fewer where a held-out tenth of the training rows stops gaining."""
        leaves: Annotated[int, Gt(1), Le(512)] = 31
        """Leaves of a tree at most."""
        shrinkage: Annotated[float, Gt(0), Le(1)] = 0.05
        """What each tree adds (the learning rate)."""
        min_leaf: Width = 20
        """Training rows in a leaf at least."""

    label_weights: Tensor | None = None  # only while solving
    most_rounds = MOST_TREES  # a forecast asks for fewer
    rounds_taken = 0.0  # for each tag, where there are tags

    feature: Tensor  # (R, N) column each node asks
    threshold: Tensor  # (R, N)
    left: Tensor  # (R, N) the next node; a leaf's is itself
    right: Tensor  # (R, N)
    missing_left: Tensor  # (R, N)
    split: Tensor  # (R, N) row of goes_left, -1 = a number
    value: Tensor  # (R, N)
    goes_left: Tensor  # (sets of names, 256)
    baseline: Tensor  # (O,)
    used: Tensor  # (2,) trees, depth

    def __init__(self, config: Boosted.Config, specs: dict[str, Any], out_dim: int, *, aim: str) -> None:
        super().__init__()
        self.config, self.specs, self.aim, self.outputs = config, specs, aim, out_dim
        self.rounds = max(FEWEST_ROUNDS, min(config.rounds, MOST_TREES // out_dim))
        shape = (self.rounds * out_dim, 2 * config.leaves - 1)
        for name, dtype in NODE.items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))
        sets = shape[0] * config.leaves if self.categorical() else 1
        self.register_buffer("goes_left", torch.zeros(sets, 256, dtype=torch.bool))
        self.register_buffer("baseline", torch.zeros(out_dim, dtype=torch.float64))
        self.register_buffer("used", torch.zeros(2, dtype=torch.int64))  # trees, depth

    def check_buffers(self) -> None:
        """Refuse weights from a stranger that would make it compute without end, or lead outside a tree. Raises ValueError."""
        trees, depth = self.used.tolist()
        fields = sum({"date": 9, "tags": len(spec.get("names", ()))}.get(spec["kind"], 1) for spec in self.specs.values())
        most = {"feature": fields, "left": self.left.shape[1], "right": self.left.shape[1], "split": len(self.goes_left)}
        within = all(int(getattr(self, name).max()) < limit for name, limit in most.items())
        if not (0 <= trees <= len(self.left) and 0 <= depth < self.config.leaves and within):
            raise ValueError("used, left, right, split")

    def forward(self, inputs: dict[str, Any]) -> Tensor:
        """(B, O)."""
        x = self.table(inputs)
        total = self.baseline.expand(len(x), -1).clone()  # (B, O)
        trees = int(self.used[0])
        for start in range(0, trees, BLOCK):
            block = slice(start, min(start + BLOCK, trees))
            outputs = torch.arange(block.start, block.stop, device=x.device) % self.outputs  # (r,)
            for rows in range(0, len(x), ROWS):
                total[rows : rows + ROWS].index_add_(1, outputs, self.leaf_values(x[rows : rows + ROWS], block))
        return total

    def leaf_values(self, x: Tensor, block: slice) -> Tensor:
        """(B, F) -> (B, r) what each of the block's trees says: nodes of all its trees stand in one row, M of them."""
        feature, threshold = self.feature[block].flatten().long(), self.threshold[block].flatten()  # (M,)
        split, missing_left = self.split[block].flatten(), self.missing_left[block].flatten()
        named, gaps = bool((split >= 0).any()), bool(x.isnan().any())
        root = torch.arange(0, len(feature), self.feature.shape[1], device=x.device)[:, None]  # (r, 1)
        child = torch.stack([self.right[block] + root, self.left[block] + root], -1).flatten().long()  # (2M,)
        node = root.T.expand(len(x), -1)  # (B, r)
        for _ in range(int(self.used[1])):
            value = x.gather(1, feature[node])
            left = value <= threshold[node]
            if named:
                sets = split[node].long()
                left = torch.where(
                    sets < 0, left, self.goes_left[sets.clamp(min=0), torch.where(value.isnan() | (sets < 0), 0, value).long()]
                )
            if gaps:
                left = torch.where(value.isnan(), missing_left[node], left)
            node = child[2 * node + left]
        return self.value[block].flatten()[node]

    def table(self, inputs: dict[str, Any]) -> Tensor:
        """(B, F) float64, NaN = missing; names as codes."""
        parts = []
        for column, spec in self.specs.items():
            x = inputs[column].double()
            parts.append((torch.where(x == 0, torch.nan, x - 1) if spec["kind"] == "category" else x).reshape(len(x), -1))
        return torch.cat(parts, dim=1)

    def categorical(self) -> list[int]:
        """Places of the columns that are split by sets of names."""
        flags: list[bool] = []
        for spec in self.specs.values():
            if spec["kind"] == "category":
                flags.append(len(spec["names"]) <= MOST_NAMES)
            else:
                flags += [False] * {"number": 1, "date": 9, "tags": len(spec.get("names", ()))}[spec["kind"]]
        return [place for place, flag in enumerate(flags) if flag]

    def weigh(self, batch: SupervisedBatch) -> tuple[float, float]:
        """Copies of the table, its bins, and gradients."""
        return 0.0, VALUE_BYTES * (self.table(batch.inputs).shape[1] + 4 * self.outputs)

    def solve(self, batches: Iterable[SupervisedBatch]) -> Iterator[float]:
        """Grow the trees, one model for each tag where there are tags."""
        parts = [(self.table(batch.inputs).numpy(), batch.target.numpy()) for batch in batches]
        self.label_weights, self.rounds_taken = next(iter(batches)).weights, 0.0
        x, target = (np.concatenate(column) for column in zip(*parts, strict=True))
        if self.aim == "tags":
            for tag in range(self.outputs):
                known = ~np.isnan(target[:, tag])
                self.learn(x[known], target[known, tag] > 0.5, tag)
                yield (tag + 1) / self.outputs
            return
        known = ~np.isnan(target) if self.aim == "number" else target >= 0
        self.learn(x[known], target[known], 0)
        yield 1.0

    def learn(self, x: np.ndarray, target: np.ndarray, first: int) -> None:
        """Grow and keep; one value everywhere needs no tree: it is answered, whatever is asked."""
        found = np.unique(target)
        if self.aim == "number" or len(found) > 1:
            self.keep(self.grow(x, target), first)
        elif len(found) == 1 and self.aim == "label" and self.outputs > 1:
            self.baseline.fill_(-OUT_OF_REACH)
            self.baseline[int(found[0])] = OUT_OF_REACH
        elif len(found) == 1:
            self.baseline[first] = OUT_OF_REACH if found[0] else -OUT_OF_REACH

    def grow(self, x: np.ndarray, target: np.ndarray) -> Any:
        """Fit scikit-learn's model."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
        from threadpoolctl import threadpool_limits

        config = self.config
        model: Any = HistGradientBoostingRegressor if self.aim == "number" else HistGradientBoostingClassifier
        smallest = np.unique(target, return_counts=True)[1].min() if self.aim != "number" else len(target)
        stops = bool(len(x) >= 500 and smallest >= 10)
        rounds = self.rounds if stops else min(self.rounds, UNWATCHED_ROUNDS)
        grown: Any = model(
            max_iter=min(rounds, self.most_rounds),
            max_leaf_nodes=config.leaves,
            learning_rate=config.shrinkage,
            min_samples_leaf=min(config.min_leaf, max(1, len(x) // 10)),
            early_stopping=stops,
            n_iter_no_change=30,
            categorical_features=self.categorical() or None,
            random_state=0,
        )
        with threadpool_limits(1) if x.size < SMALL else nullcontext():
            grown.fit(x, target, sample_weight=row_weights(target, self.label_weights))
        self.rounds_taken += grown.n_iter_ / (self.outputs if self.aim == "tags" else 1)
        return grown

    def keep(self, grown: Any, first: int) -> None:
        """Copy a fitted model's nodes into the tensors; `first` is the output of its first tree."""
        classes = getattr(grown, "classes_", np.zeros(1))
        single = len(np.ravel(grown._baseline_prediction)) == 1
        places = [first] if single else [int(c) for c in classes]
        if single and self.aim == "label" and self.outputs > 1:
            self.keep_pair(grown, [int(c) for c in classes])
            return
        if len(places) < self.outputs and not single:
            self.baseline.fill_(-OUT_OF_REACH)
        self.baseline[places] = torch.from_numpy(np.ravel(grown._baseline_prediction))
        self.copy_trees(grown, places)

    def keep_pair(self, grown: Any, labels: list[int]) -> None:
        """Two of several labels were found: the second's logit; the others are out of reach."""
        self.baseline.fill_(-OUT_OF_REACH)
        self.baseline[labels[0]] = 0.0
        self.baseline[labels[1]] = float(np.ravel(grown._baseline_prediction)[0])
        self.copy_trees(grown, [labels[1]])

    def copy_trees(self, grown: Any, places: list[int]) -> None:
        """Tree j of round i answers for output places[j]."""
        order, tables = inner_order(grown)
        offset = int((self.split.max() + 1).clamp(min=0)) if self.used[0] else 0
        for round_, trees in enumerate(grown._predictors):
            for place, tree in zip(places, trees, strict=True):
                offset += self.copy_tree(tree, round_ * self.outputs + place, offset, order, tables)
                self.used[1] = max(int(self.used[1]), int(tree.nodes["depth"].max()))
        self.used[0] = max(int(self.used[0]), len(grown._predictors) * self.outputs)

    def copy_tree(self, tree: Any, at: int, offset: int, order: np.ndarray, tables: list[np.ndarray]) -> int:
        """One tree into row `at`; how many sets of names it used."""
        nodes, count = tree.nodes, len(tree.nodes)
        leaf, own = nodes["is_leaf"].astype(bool), np.arange(count)
        by_name = nodes["is_categorical"].astype(bool) & ~leaf
        fields = {
            "feature": np.where(leaf, 0, order[nodes["feature_idx"]]),
            "threshold": np.nan_to_num(nodes["num_threshold"]),  # infinite where only missing values go right
            "left": np.where(leaf, own, nodes["left"].astype(np.int64)),
            "right": np.where(leaf, own, nodes["right"].astype(np.int64)),
            "missing_left": nodes["missing_go_to_left"].astype(bool),
            "split": np.where(by_name, nodes["bitset_idx"].astype(np.int64) + offset, -1),
            "value": nodes["value"],
        }
        for name, values in fields.items():
            getattr(self, name)[at, :count] = torch.from_numpy(np.ascontiguousarray(values)).to(NODE[name])
        for node in np.flatnonzero(by_name):
            bits = tree.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
            inner = ((bits[:, None] >> np.arange(32, dtype=np.uint32)) & 1).reshape(256).astype(bool)
            names = tables[nodes["feature_idx"][node]]
            known = np.zeros(256, bool)
            known[names] = inner[: len(names)]
            self.goes_left[offset + int(nodes["bitset_idx"][node])] = torch.from_numpy(known)
            unseen = np.setdiff1d(np.arange(256), names)
            if nodes["missing_go_to_left"][node]:
                self.goes_left[offset + int(nodes["bitset_idx"][node]), torch.from_numpy(unseen)] = True
        return len(tree.raw_left_cat_bitsets)


NODE = {
    "feature": torch.int32,
    "threshold": torch.float64,
    "left": torch.int32,
    "right": torch.int32,
    "missing_left": torch.bool,
    "split": torch.int32,
    "value": torch.float64,
}


def inner_order(grown: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    """scikit-learn puts columns of names first and renumbers their codes: where each inner column comes from, and its codes."""
    count = grown.n_features_in_
    flags = np.zeros(count, bool) if grown.is_categorical_ is None else np.asarray(grown.is_categorical_, bool)
    order = np.r_[np.flatnonzero(flags), np.flatnonzero(~flags)]
    tables: list[np.ndarray] = []
    if flags.any():
        tables = [table[~np.isnan(table)].astype(np.int64) for table in grown._preprocessor.named_transformers_["encoder"].categories_]
    return order, tables
