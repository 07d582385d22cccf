"""Documents in rows: every token is foretold once, and the loss is the same however they are packed and cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from luban.columns import Ragged
from luban.draw import Draw
from luban.language.packing import fitted, pack
from luban.tasks.language_modeling import LanguageModeling
from luban.training.settings import Training
from luban.training.step import Stepper

DOCUMENTS = [[5, 6, 7], [], [8], [9, 10, 11, 12, 13, 14, 15], [5, 5]]


def packed(packing: str, begin: int | None, end: int, context: int = 4) -> list[list[int]]:
    """The rows of text."""
    values = Ragged.of(np.array([t for d in DOCUMENTS for t in d], np.int32), [len(d) for d in DOCUMENTS])
    found = pack(values, np.arange(5), np.arange(100, 105), begin=begin, end=end, context=context, packing=packing)  # type: ignore[arg-type]
    for row, span in enumerate(found.spans[k].tolist() for k in range(len(found.spans))):
        text = [t for t in span if t > 2]
        assert not text or text[0] in DOCUMENTS[found.row[row] - 100] or span[0] in (0, 1, 2)
    return [found.spans[k].tolist() for k in range(len(found.spans))]


def test_a_stream_is_cut_at_every_context() -> None:
    assert packed("stream", 0, 0) == [[0, 5, 6, 7, 0], [0, 8, 0, 9, 10], [10, 11, 12, 13, 14], [14, 15, 0, 5, 5], [5, 0]]
    assert packed("stream", 1, 2, 100) == [[1, 5, 6, 7, 2, 1, 8, 2, 1, *DOCUMENTS[3], 2, 1, 5, 5, 2]]
    assert packed("stream", None, 2, 100) == [[5, 6, 7, 2, 8, 2, *DOCUMENTS[3], 2, 5, 5, 2]]


@pytest.mark.parametrize(("begin", "end"), [(0, 0), (1, 2), (None, 2)])
@pytest.mark.parametrize("packing", ["stream", "documents"])
@pytest.mark.parametrize("context", [3, 4, 7, 50])
def test_every_pair_of_neighbours_stands_once(packing: str, begin: int | None, end: int, context: int) -> None:
    rows = packed(packing, begin, end, context)
    assert all(len(row) <= context + 1 for row in rows)
    found = sorted(pair for row in rows for pair in pairwise(row) if pair[1] != begin or begin == end)
    head = [] if begin is None else [begin]
    expected = sorted(pair for d in DOCUMENTS if d for pair in pairwise([*head, *d, end]))
    if begin is None:
        firsts = {d[0] for d in DOCUMENTS if d}
        found = [pair for pair in found if not (pair[0] == end and pair[1] in firsts)]
    assert found == expected


def test_rows_of_whole_documents_begin_with_one() -> None:
    rows = packed("documents", 0, 0, 8)
    assert all(row[0] == 0 and row[-1] == 0 for row in rows)


def test_the_best_fit_leaves_least() -> None:
    assert fitted(np.array([3, 7, 4, 6, 1]), 10).tolist() == [1, 0, 3, 2, 4]


TALES = LanguageModeling(LanguageModeling.Config(inputs={"text": {"kind": "text"}}, tokenizer="characters", vocabulary=512)).demo(23, 1)


def task(**options: object) -> LanguageModeling:
    """Of the tales."""
    model = {"kind": "gpt", "size": "tiny", "width": 28, "layers": 2, "heads": 2, "context": options.pop("context", 151)}
    made = LanguageModeling(
        LanguageModeling.Config(inputs={"text": {"kind": "text"}}, tokenizer="characters", vocabulary=512, model=model, **options)  # type: ignore[arg-type]
    )
    return LanguageModeling(made.config, made.fit(TALES))


def gradient(made: LanguageModeling, micro: int, alone: bool = False) -> tuple[float, torch.Tensor]:
    """Loss and gradient of one step over all tales."""
    rows = made.encode(TALES)
    if alone:  # one document in each row
        parts = [made.arrange(rows, np.arange(len(rows)) == k) for k in range(len(rows))]
        batches = [made.collate(part, Draw(0, 0, part.row, training=False)) for part in parts]
    else:
        examples = made.arrange(rows, np.ones(len(rows), bool))
        cuts = np.array_split(np.arange(len(examples)), micro)
        batches = [made.collate(examples.take(cut), Draw(0, 0, cut, training=False)) for cut in cuts]
    torch.manual_seed(0)
    net = made.build().double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    stepper = Stepper(made, net, Training(accumulation=len(batches)), len(TALES))
    outcome = stepper.backward([made.losses(net, batch) for batch in batches], batches, 0, 0)
    assert outcome is not None
    return outcome[1], torch.cat([p.grad.flatten() for p in net.parameters()])


def test_loss_and_gradient_are_those_of_each_document_alone_however_it_is_packed() -> None:
    loss, wanted = gradient(task(packing="documents"), 1, alone=True)
    for options, micro in (({}, 1), ({}, 3), ({"context": 300}, 1), ({"context": 300}, 2)):
        found, other = gradient(task(packing="documents", **options), micro)
        assert abs(found - loss) <= 1e-6 * loss
        assert (other - wanted).norm() <= 1e-6 * wanted.norm()


def test_documents_that_see_each_other_have_another_loss() -> None:
    loss, _ = gradient(task(packing="documents", context=300), 1)
    mixed, _ = gradient(task(packing="documents", context=300, isolate=False), 1)
    assert abs(mixed - loss) > 1e-4 * loss


def test_the_end_is_trained() -> None:
    made = task()
    rows = made.encode(TALES)
    batch = made.collate(made.arrange(rows, np.ones(len(rows), bool)), Draw(0, 0, np.arange(3), training=False))
    assert int((batch.targets == 0).sum()) == len(TALES)
    assert int((batch.targets >= 0).sum()) == int(rows["tokens"].lengths.sum()) + len(TALES)
    assert int(batch.bytes.sum()) == sum(len(text.encode()) for text in TALES["text"])
