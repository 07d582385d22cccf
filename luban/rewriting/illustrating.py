"""What a report shows of pairs: the answers least like their references, and what each token of an answer looked at in its source.

S tokens of a source, T of an answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from luban.columns import Columns
from luban.rewriting.answering import confidence_of
from luban.rewriting.batch import Answers, Batch
from luban.rewriting.sides import Sides

MOST_WORST, MOST_MAPS = 24, 3
MOST_TOKENS = 40  # of a map, on either side


def worst(marks: Columns) -> np.ndarray:
    """Places of the answers least like their references, the worst first; of those alike the surest."""
    asked = np.flatnonzero(np.asarray(marks["decoded"]) > 0)
    order = np.lexsort((-np.asarray(marks["confidence"])[asked], np.asarray(marks["quality"])[asked]))
    return asked[order[:MOST_WORST]]


def drawn(marks: Columns) -> np.ndarray:
    """Places of pairs worth a map: of middling length, the best, a middling and the worst by quality."""
    asked = np.flatnonzero(
        (np.asarray(marks["decoded"]) > 0) & (np.asarray(marks["read"]) >= 3) & (np.asarray(marks["read"]) <= MOST_TOKENS // 2)
    )
    order = asked[np.argsort(-np.asarray(marks["quality"])[asked], kind="stable")]
    return order[np.unique(np.linspace(0, len(order) - 1, MOST_MAPS).astype(int))] if len(order) else order


def examples_of(task: Any, prediction: Answers, batch: Batch, rows: np.ndarray, marks: Columns) -> list[dict[str, Any]]:
    """As the report lists what went wrong."""
    answers = task.answer(prediction).to_dicts()
    sure = confidence_of(prediction).tolist()
    return [
        {
            "row": int(row),
            "truth": reference,
            "answer": answer["text"],
            "confidence": confidence,
            "quality": float(quality),
            "inputs": {task.column: source},
        }
        for row, reference, answer, confidence, quality, source in zip(
            rows, references_of(batch, task.sides), answers, sure, marks["quality"], task.sources(prediction), strict=True
        )
    ]


def references_of(batch: Batch, sides: Sides) -> list[str]:
    """The targets as text."""
    return [sides.decode(row[(row >= 0) & (row != sides.end)].tolist()).strip() for row in batch.targets.cpu()]  # type: ignore[union-attr]


@torch.inference_mode()
def maps(net: Any, prediction: Answers, batch: Batch, sides: Sides, rows: np.ndarray, best: int) -> list[dict[str, Any]]:
    """For each row its source and answer as tokens, and (T, S) how much each token of the answer looked at each of the source."""
    found = []
    ends = np.r_[0, np.cumsum(prediction.lengths.numpy())]
    for place, row in enumerate(rows.tolist()):
        said = prediction.tokens[ends[place * best] : ends[place * best + 1]][:MOST_TOKENS]  # each of one window
        source, known = batch.source[place : place + 1], batch.known[place : place + 1]
        tokens = torch.cat([torch.tensor([sides.begin]), said])[None].to(source.device)
        looked = net.attention(tokens, net.encode(source, known))[0].float().cpu().numpy()  # (T + 1, S)
        read = source[0][known[0]].tolist()[:MOST_TOKENS]
        found.append(
            {
                "row": row,
                "source": [name_of(id, sides) for id in read],
                "answer": [name_of(id, sides) for id in said.tolist()] + ["⏹"],
                "weights": np.round(looked[:, : len(read)], 3).tolist(),
            }
        )
    return found


def name_of(id: int, sides: Sides) -> str:
    """A token as a map labels it."""
    if id == sides.end:
        return "⏹"
    return sides.decode([id]).replace(" ", "␣") if id < sides.special else f"⟨{id - sides.special + 1}⟩"
