"""Peers of the service on the same weights: FastAPI around a transformers pipeline, and LitServe with its batching. Run by serving_language.py.

python benchmarks/serving_peers.py pipeline|litserve CHECKPOINT PORT

POST /generate {"prompt": …, "max_tokens": …} -> {"usage": {"prompt_tokens": …, "completion_tokens": …}, "text": …}. No weights or files are fetched.
"""

from __future__ import annotations

import sys
from typing import Any


def opened(checkpoint: str) -> tuple[Any, Any]:
    """Model and tokenizer of a folder."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{checkpoint}/tokenizer.json", padding_side="left")
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, local_files_only=True, dtype=torch.float32).eval()
    return model, tokenizer


def answer(text: str, prompt: int, said: int) -> dict[str, Any]:
    """As the load generator reads it."""
    return {"text": text, "usage": {"prompt_tokens": prompt, "completion_tokens": said}}


def pipeline(checkpoint: str, port: int) -> None:
    """The usual few lines: a pipeline behind a route; requests wait for each other in FastAPI's threads."""
    import uvicorn
    from fastapi import FastAPI
    from transformers import pipeline as make

    model, tokenizer = opened(checkpoint)
    speak = make("text-generation", model=model, tokenizer=tokenizer)
    app = FastAPI()

    @app.post("/generate")
    def generate(body: dict[str, Any]) -> dict[str, Any]:
        prompt = len(tokenizer(body["prompt"])["input_ids"])
        settings = {"max_new_tokens": body["max_tokens"], "do_sample": True, "temperature": 0.8}
        found = speak(body["prompt"], return_tensors=True, **settings)
        ids = found[0]["generated_token_ids"]
        return answer(tokenizer.decode(ids[prompt:]), prompt, len(ids) - prompt)

    uvicorn.run(app, port=port, log_level="warning")


class Speaking:
    """A model behind LitServe: batches of up to eight requests, as it gathers them. Its worker is spawned, so the class stands at the top."""

    def setup(self, device: str) -> None:
        """In the worker."""
        self.model, self.tokenizer = opened(sys.argv[2])

    def predict(self, given: Any) -> Any:
        """All of a batch together, padded on the left, as long as the longest asks."""
        import torch

        batch = given if isinstance(given, list) else [given]
        read = self.tokenizer([one["prompt"] for one in batch], return_tensors="pt", padding=True)
        read.pop("token_type_ids", None)
        most = max(one["max_tokens"] for one in batch)
        with torch.inference_mode():
            ids = self.model.generate(**read, max_new_tokens=most, do_sample=True, temperature=0.8, pad_token_id=0)
        width, out = read["input_ids"].shape[1], []
        for row, mask in zip(ids, read["attention_mask"], strict=True):
            said = row[width:]
            count = int((said != 0).sum())
            out.append(answer(self.tokenizer.decode(said[:count]), int(mask.sum()), count))
        return out if isinstance(given, list) else out[0]


if "litserve" in sys.argv:
    import litserve as ls

    class Speaker(Speaking, ls.LitAPI):
        """As LitServe wants it."""


def litserve(checkpoint: str, port: int) -> None:
    """Batches of up to eight requests."""
    api = Speaker(max_batch_size=8, batch_timeout=0.02, api_path="/generate")
    ls.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=600).run(port=port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    {"pipeline": pipeline, "litserve": litserve}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
