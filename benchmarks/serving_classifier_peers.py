"""Peers of the service on the weights of a bundle: FastAPI around a transformers pipeline, and LitServe with its batching. Run by serving_classifiers.py.

python benchmarks/serving_classifier_peers.py pipeline|litserve tiny-text|text|image BUNDLE PORT

POST /predict {"inputs": a text, or a picture in base64} -> [{"label": …, "score": …}, …]. A text runs through transformers' own BertModel, filled with the
bundle's exported checkpoint; a picture through transformers' preparation and the bundle's own net.
"""

from __future__ import annotations

import base64
import copy
import io
import sys
import tempfile
from typing import Any

BATCH, GATHERED_S = 64, 0.005


def text_model(bundle: Any) -> tuple[Any, Any]:
    """A model for sequence classification, and its tokenizer."""
    import torch
    from transformers import BertModel, BertPreTrainedModel, PreTrainedTokenizerFast
    from transformers.modeling_outputs import SequenceClassifierOutput

    from luban.checkpoints.exporting import export

    class Same(BertPreTrainedModel):
        """BertModel, the mean of its states, and the bundle's head."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.bert = BertModel(config, add_pooling_layer=False)
            self.head = head
            self.post_init()

        def forward(self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, **_: Any) -> Any:
            states = self.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).last_hidden_state
            weight = attention_mask[..., None].to(states.dtype)
            return SequenceClassifierOutput(logits=self.head((states * weight).sum(1) / weight.sum(1)))

    with tempfile.TemporaryDirectory() as folder:
        export(folder, bundle.net.encoders[0], bundle.task.state["inputs"]["cell"])
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        body = BertModel.from_pretrained(folder, local_files_only=True, add_pooling_layer=False)
    head = torch.nn.Sequential(bundle.net.hidden, bundle.net.output)
    chances = copy.deepcopy(head.state_dict())
    model = Same(body.config).eval()
    model.head.load_state_dict(chances)  # transformers begins a new model with weights of its own
    model.bert.load_state_dict(body.state_dict())
    return named(model, bundle), tokenizer


def image_model(bundle: Any) -> tuple[Any, Any]:
    """A model for image classification, and what prepares its pictures."""
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import ImageClassifierOutput
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    spec = bundle.task.state["inputs"]["cell"]

    class Same(PreTrainedModel):
        """The bundle's net."""

        config_class = PretrainedConfig
        main_input_name = "pixel_values"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.net = bundle.net

        def forward(self, pixel_values: Any = None, **_: Any) -> Any:
            return ImageClassifierOutput(logits=self.net({"cell": pixel_values}))

    sides = dict(zip(("height", "width"), spec["size"], strict=True))
    prepared = ViTImageProcessorPil(
        size=sides, do_rescale=False, image_mean=list(spec["mean"]), image_std=list(spec["spread"]), do_convert_rgb=True
    )
    return named(Same(PretrainedConfig()).eval(), bundle), prepared


def named(model: Any, bundle: Any) -> Any:
    """With the bundle's labels."""
    model.config.id2label = dict(enumerate(bundle.task.labels))
    model.config.num_labels, model.config.problem_type = len(bundle.task.labels), "single_label_classification"
    return model


def opened(kind: str, place: str) -> Any:
    """A pipeline."""
    import torch
    from transformers import logging
    from transformers import pipeline as make

    import luban

    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()

    torch.set_num_threads(1)
    bundle = luban.load(place)
    if kind != "image":
        model, tokenizer = text_model(bundle)
        return make("text-classification", model=model, tokenizer=tokenizer)
    model, prepared = image_model(bundle)
    return make("image-classification", model=model, image_processor=prepared)


def answers(speak: Any, kind: str, given: list[str]) -> list[Any]:
    """As many lists of labels with scores."""
    if kind != "image":
        return speak(given, top_k=None, truncation=True, max_length=128, batch_size=len(given))
    from PIL import Image

    pictures = [Image.open(io.BytesIO(base64.b64decode(one))) for one in given]
    return speak(pictures, top_k=len(speak.model.config.id2label), batch_size=len(given))


def pipeline(kind: str, place: str, port: int) -> None:
    """The usual few lines: a pipeline behind a route, one call a request, in FastAPI's threads."""
    import uvicorn
    from fastapi import FastAPI

    speak, app = opened(kind, place), FastAPI()

    @app.post("/predict")
    def predict(body: dict[str, Any]) -> list[Any]:
        return answers(speak, kind, [body["inputs"]])[0]

    uvicorn.run(app, port=port, log_level="warning")


if "litserve" in sys.argv:
    import litserve as ls

    class Classifying(ls.LitAPI):
        """A pipeline behind LitServe: batches as it gathers them. Its worker is spawned, so the class stands at the top."""

        def setup(self, device: str) -> None:
            """In the worker."""
            self.kind = sys.argv[2]
            self.speak = opened(self.kind, sys.argv[3])

        def predict(self, given: Any) -> Any:
            """All of a batch together."""
            return answers(self.speak, self.kind, [one["inputs"] for one in given])


def litserve(kind: str, place: str, port: int) -> None:
    """Batches of up to 64 requests."""
    api = Classifying(max_batch_size=BATCH, batch_timeout=GATHERED_S, api_path="/predict")
    ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=600).run(port=port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    {"pipeline": pipeline, "litserve": litserve}[sys.argv[1]](sys.argv[2], sys.argv[3], int(sys.argv[4]))
