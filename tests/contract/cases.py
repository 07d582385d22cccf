"""The tasks under contract: every task of the catalog with representative models, and the toys."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import torch
from PIL import Image as Pillow
from torch import Tensor, nn
from toys import checkpoint, contrastive, forecasting, gan, item_knn
from toys.contrastive import Contrastive
from toys.forecasting import Forecasting
from toys.gan import Gan
from toys.item_knn import ItemKnn

from luban.columns import Columns, Ragged
from luban.data.prepare import select
from luban.data.splits import TRAIN, Splitting, divide
from luban.draw import Draw
from luban.evaluation.metrics import find
from luban.generating.settings import Generation, Search
from luban.predicting import marks_of
from luban.tasks.chat import Chat
from luban.tasks.classification import Classification
from luban.tasks.document_answering import DocumentAnswering
from luban.tasks.language_modeling import LanguageModeling
from luban.tasks.masked_language_modeling import MaskedLanguageModeling
from luban.tasks.question_answering import QuestionAnswering
from luban.tasks.recommendation import Recommendation
from luban.tasks.regression import Regression
from luban.tasks.text_embedding import TextEmbedding
from luban.tasks.text_to_text import TextToText
from luban.training.distributed import share
from luban.training.loop import Trainer
from luban.training.loop import fresh as start
from luban.training.settings import Training
from luban.training.solving import solve
from luban.training.step import Stepper

PLAIN: dict[str, Any] = {"device": "cpu", "precision": "float32", "schedule": "constant", "warmup": 0.0}


@dataclass(frozen=True, eq=False)
class Case:
    """One task with one model, on a small table."""

    name: str
    task: Any  # not yet fitted
    table: Callable[[int], pl.DataFrame]
    score: Callable[[Columns], float]  # larger is better
    rows: int = 61
    steps: int = 40
    floor: float = 0.8  # of the score on validation rows, after training
    settings: dict[str, Any] = field(default_factory=dict)
    solved: bool = False
    overfits: bool = True
    chance: Callable[[Columns], float] | None = None  # (marks of a net that says the same of all) -> score - chance, at most 0
    by_place: bool = False  # its noise belongs to the place asked, not to the row

    def __repr__(self) -> str:
        return self.name

    def training(self, **changes: Any) -> Training:
        """Settings of a short run."""
        return Training(**(PLAIN | {"batch_size": 16, "learning_rate": 0.01, "steps": self.steps} | self.settings | changes))


@dataclass(frozen=True)
class Ready:
    """A fitted task, its table, and its examples by split."""

    case: Case
    task: Any
    frame: pl.DataFrame
    parts: np.ndarray
    examples: tuple[Columns, Columns, Columns]


def prepare(case: Case, frame: pl.DataFrame | None = None, parts: np.ndarray | None = None) -> Ready:
    """Split, fit on the training rows, encode, arrange; state goes through JSON as in a bundle."""
    frame = case.table(case.rows) if frame is None else frame
    target = getattr(case.task.config, "target", None)
    if parts is None:
        split = Splitting(by=case.task.split.by, group=case.task.split.group, order=case.task.split.order, validation=0.2, test=0.1)
        parts = divide(frame, split, target=target, seed=0)
    state = json.loads(json.dumps(case.task.fit(frame.filter(pl.Series(parts == TRAIN)))))
    task = type(case.task)(case.task.config, state)
    rows = task.encode(frame)
    return Ready(case, task, frame, parts, tuple(select(task, rows, parts, part) for part in range(3)))  # type: ignore[arg-type]


@cache
def ready(case: Case) -> Ready:
    """Prepared once; nothing in it is ever changed."""
    return prepare(case)


@cache
def trained(case: Case) -> nn.Module:
    """A net after the case's steps; never changed."""
    return learn(ready(case), case.training())


def learn(made: Ready, settings: Training) -> nn.Module:
    """Solve or train."""
    torch.manual_seed(settings.seed)
    if made.case.solved:
        net = start(made.task)
        solve(made.task, net, made.examples[0], seed=0, folder=None, tell=lambda *_, **__: None)
        return net.eval()
    return Trainer(made.task, made.examples[0], settings).run().finish()


def fresh(made: Ready) -> nn.Module:
    """A net with its first weights."""
    torch.manual_seed(0)
    return made.task.build()


def batch_of(made: Ready, rows: np.ndarray, *, training: bool, part: int = 0) -> Any:
    """One batch of a split."""
    return made.task.collate(made.examples[part].take(rows), Draw(0, 0, rows, training=training))


def score(made: Ready, net: nn.Module, part: int = 1) -> float:
    """The case's score on a split."""
    return made.case.score(marks_of(made.task, net, made.examples[part]))


def flat(net: nn.Module) -> Tensor:
    """All weights and buffers as one vector."""
    return torch.cat([value.double().flatten() for value in net.state_dict().values()])


def loss_of(made: Ready, net: nn.Module, rows: np.ndarray) -> float:
    """The sum of what one step's losses say, without stepping."""
    stepper = Stepper(made.task, net, made.case.training(accumulation=1), len(made.examples[0]))
    batches = [batch_of(made, rows, training=False)]
    runs, total, turn = [made.task.losses(net, batches[0])], 0.0, 0
    while (outcome := stepper.backward(runs, batches, 0, turn)) is not None:
        total, turn = total + outcome[1], turn + 1
    return total


def gradients(made: Ready, rows: np.ndarray, micro: int, *, double: bool = True) -> Tensor:
    """What one step of each loss would do to each parameter it moves, in evaluation mode."""
    net = fresh(made).eval()
    net = net.double() if double else net
    stepper = Stepper(made.task, net, made.case.training(accumulation=micro), len(made.examples[0]))
    batches = [batch_of(made, part, training=False) for part in share(rows, micro)]
    batches = [widen(batch) for batch in batches] if double else batches
    runs, found, turn = [made.task.losses(net, batch) for batch in batches], [], 0
    while (outcome := stepper.backward(runs, batches, 0, turn)) is not None:
        moved = [p for group in stepper.optimizer(outcome[0]).param_groups for p in group["params"]]
        found += [(p.grad if p.grad is not None else torch.zeros_like(p)).to_dense().detach().double().flatten() for p in moved]
        turn += 1
    return torch.cat(found)


def widen(batch: Any) -> Any:
    """The batch's numbers in float64."""
    if batch is None:
        return None
    if isinstance(batch, Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, dict):
        return {key: widen(value) for key, value in batch.items()}
    return type(batch)(**{f.name: widen(getattr(batch, f.name)) for f in dataclasses.fields(batch)})


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in a batch or prediction, in order."""
    if value is None:
        return []
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for part in value.values() for t in tensors(part)]
    if isinstance(value, tuple | list):
        return [t for part in value for t in tensors(part)]
    return [t for f in dataclasses.fields(value) for t in tensors(getattr(value, f.name))]


def arrays(columns: Columns) -> list[np.ndarray]:
    """Every array of columns, ragged ones as their content and lengths."""
    found = [columns.row] + ([] if columns.size is None else [columns.size])
    for name in sorted(columns.data):
        value = columns[name]
        found += [value.flat(), value.lengths] if isinstance(value, Ragged) else [np.asarray(value)]
    return found


# --- tables


def pictures(count: int) -> pl.DataFrame:
    """Grey pictures of 9 × 8 pixels with a bright top, left or middle."""
    rng, cells, labels = np.random.default_rng(5), [], []
    for i in range(count):
        pixels = rng.integers(0, 90, (9, 8))
        place = (np.s_[:3, :], np.s_[:, :3], np.s_[3:6, 3:6])[i % 3]
        pixels[place] += 150
        buffer = io.BytesIO()
        Pillow.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        cells.append(buffer.getvalue())
        labels.append(("top", "left", "middle")[i % 3])
    return pl.DataFrame({"picture": cells, "label": labels})


def flowers(count: int) -> pl.DataFrame:
    """Two numbers, some missing, and three kinds."""
    rng, kind = np.random.default_rng(6), np.arange(count) % 3
    a = rng.normal(0, 0.4, count) + np.array([0, 2, 4])[kind]
    b = rng.normal(0, 0.4, count) + np.array([1, -1, 1])[kind]
    return pl.DataFrame({"a": [None if i % 17 == 3 else float(v) for i, v in enumerate(a)], "b": b, "label": [f"k{k}" for k in kind]})


def readings(count: int) -> pl.DataFrame:
    """Rising or falling series of 3 to 7 steps of two numbers."""
    rng, up = np.random.default_rng(7), np.arange(count) % 2
    steps = [np.arange(3 + i % 5)[:, None] * (1 if u else -1) + rng.normal(0, 0.3, (3 + i % 5, 2)) for i, u in enumerate(up)]
    return pl.DataFrame({"reading": [s.round(3).tolist() for s in steps], "label": ["up" if u else "down" for u in up]})


def tagged(count: int) -> pl.DataFrame:
    """Words, and the tags they bring, some rows without an answer."""
    rng = np.random.default_rng(8)
    has = rng.random((count, 3)) < 0.5
    words, names = np.array(["红色", "big", "vite"]), np.array(["red", "large", "fast"])
    return pl.DataFrame(
        {
            "words": [" ".join(["的", *words[row]]) for row in has],
            "tags": [None if i == 4 else names[row].tolist() for i, row in enumerate(has)],
        },
        schema_overrides={"tags": pl.List(pl.String)},
    )


def demo(task: Any) -> Callable[[int], pl.DataFrame]:
    """The task's own rows."""
    return lambda count: task.demo(count, 3)


def metric(name: str) -> Callable[[Columns], float]:
    """A named metric."""
    return find(name)


# --- cases

MIXED = {"review": {"kind": "text", "vocabulary": 300}, "price": {"kind": "number"}, "city": {"kind": "category"}}
RENT = {"area": {"kind": "number"}, "district": {"kind": "category"}, "listed": {"kind": "date"}}
FLOWER = {"a": {"kind": "number"}, "b": {"kind": "number"}}
PICTURE = {"picture": {"kind": "image", "flip": True, "shift": 1, "cutout": 2, "rotate_deg": 5.0}}
SMALL = {"mlp": {"kind": "mlp", "hidden": [11], "num_frequencies": 5, "number_dim": 3}}
NUMBERS = {"number": SMALL["mlp"], "category": SMALL["mlp"], "date": SMALL["mlp"]}


def classification(name: str, model: dict[str, Any], inputs: Any = MIXED, *, table: Any = None, **options: Any) -> Case:
    """A case of labels."""
    own = {key: options.pop(key) for key in ("loss", "label_smoothing", "class_weight", "target") if key in options}
    config = Classification.Config(inputs=inputs, model={"size": "tiny", **model}, **({"target": "label"} | own))
    task = Classification(config)
    chance = options.pop("chance", lambda marks: abs(find("auc")(marks) - 0.5) - 1e-12)
    return Case(f"classification-{name}", task, table or demo(task), options.pop("score", metric("auc")), chance=chance, **options)


def regression(name: str, model: dict[str, Any], **options: Any) -> Case:
    """A case of numbers."""
    task = Regression(Regression.Config(inputs=RENT, target="rent", model={"size": "tiny", **model}))
    return Case(f"regression-{name}", task, demo(task), metric("r2"), floor=0.3, chance=metric("r2"), **options)


def language(name: str, model: dict[str, Any], **options: Any) -> Case:
    """A case of text; a net that says the same of all gives every token the same chance."""
    own = {key: options.pop(key) for key in ("tokenizer", "packing", "isolate", "generation") if key in options}
    inputs = {"text": {"kind": "text"}}
    task = LanguageModeling(LanguageModeling.Config(inputs=inputs, model={"size": "tiny", **model}, vocabulary=512, **own))

    def chance(marks: Columns) -> float:
        found = marks["nats"] / marks["tokens"]
        return float(np.ptp(found)) - 1e-4

    return Case(f"language-{name}", task, demo(task), lambda marks: -find("nats_per_token")(marks), chance=chance, **options)


def chat(name: str, model: dict[str, Any], **options: Any) -> Case:
    """A case of answers."""
    config = Chat.Config(
        inputs={"prompt": {"kind": "text"}},
        target="response",
        model={"size": "tiny", **model},
        tokenizer="characters",
        vocabulary=512,
        generation=BRIEFLY,
    )
    task = Chat(config)

    def chance(marks: Columns) -> float:
        return float(np.ptp(marks["nats"] / marks["tokens"])) - 1e-4

    return Case(f"chat-{name}", task, demo(task), lambda marks: -find("nats_per_token")(marks), chance=chance, **options)


def masked(name: str, model: dict[str, Any], **options: Any) -> Case:
    """A case of hidden tokens; a net that says the same of all gives every token the same chance."""
    config = MaskedLanguageModeling.Config(inputs={"text": {"kind": "text", "vocabulary": 300}}, model={"size": "tiny", **model}, share=0.3)
    task = MaskedLanguageModeling(config)

    def chance(marks: Columns) -> float:
        return float(np.ptp(marks["nats"] / marks["tokens"])) - 1e-4

    return Case(f"masked-{name}", task, demo(task), lambda marks: -find("nats_per_token")(marks), chance=chance, **options)


def embedding(name: str, model: dict[str, Any], **options: Any) -> Case:
    """A case of texts that belong together."""
    text = {"kind": "text", "vocabulary": 300}
    inputs = {"review": text} if options.get("table") else {"question": text, "answer": text}
    target = "label" if options.get("table") else ""
    task = TextEmbedding(TextEmbedding.Config(inputs=inputs, target=target, model={"size": "tiny", **model}, temperature=0.1))
    table = options.pop("table", demo(task))

    def chance(marks: Columns) -> float:
        return find("retrieval_at_1")(marks) - (0.75 if target else 1 / len(marks))

    return Case(f"embedding-{name}", task, table, metric("retrieval_at_1"), chance=chance, **options)


def answering(name: str, model: dict[str, Any], **options: Any) -> Case:
    """A case of spans; a net that says the same of all says that there is no answer."""
    inputs = {column: {"kind": "text", "vocabulary": 400} for column in ("question", "context")}
    inputs["question"]["max_length"] = 13
    task = QuestionAnswering(
        QuestionAnswering.Config(inputs=inputs, target="answer", model={"size": "tiny"} | model, window=37, overlap=11, longest_answer=5)
    )
    none = options.pop("chance", lambda marks: metric("answer_f1")(marks) - 1 + np.asarray(marks["answerable"]).mean())
    table = options.pop("table", demo(task))
    return Case(f"answering-{name}", task, table, metric("answer_f1"), chance=none, **options)


def searching(name: str, **options: Any) -> Case:
    """A case of passages; a net that says the same of all lists the first ones."""
    task = DocumentAnswering(
        DocumentAnswering.Config(inputs={"question": {"kind": "text"}}, target="answer", model={"kind": name} | options.pop("model", {}))
    )
    score, rows = metric("passage_recall_at_5"), 151
    chance = lambda marks: score(marks) - 2 * 5 / 60  # noqa: E731
    return Case(f"searching-{name}", task, demo(task), score, rows=rows, floor=0.5, solved=True, chance=chance, **options)


def beside(count: int) -> pl.DataFrame:
    """Texts of forty words in which the answer stands behind the question's."""
    rng, rows = np.random.default_rng(5), []
    words = [f"{a}{b}" for a in ("sa", "mo", "lu", "ki") for b in ("ba", "ne", "ro", "ti", "gu")]
    for _ in range(count):
        text = rng.permutation(words)
        rows.append((f"who saw {text[6]} {text[7]} ?", " ".join(text), f"{text[8]} {text[9]}"))
    return pl.DataFrame(rows, schema=["question", "context", "answer"], orient="row")


def rewriting(name: str, model: dict[str, Any], **options: Any) -> Case:
    """A case of pairs; a net that says the same of all gives every token the same chance."""
    own = {key: options.pop(key) for key in ("tokenizer", "language", "label_smoothing", "long", "context") if key in options}
    settings = {"label_smoothing": 0.0, "vocabulary": 512, "generation": Search(beams=2, best=2, keep=1.0, max_tokens=12)} | own
    config = TextToText.Config(inputs={"source": {"kind": "text"}}, target="target", model={"size": "tiny", **model}, **settings)
    task = TextToText(config)

    def chance(marks: Columns) -> float:
        return float(np.ptp(marks["nats"] / marks["tokens"])) - 1e-4

    options = {"score": lambda marks: -find("nats_per_token")(marks), "chance": chance} | options
    return Case(f"rewriting-{name}", task, options.pop("table", demo(task)), options.pop("score"), **options)


def tagged_pairs(count: int) -> pl.DataFrame:
    """The pairs, half of them asked for as they stand."""
    table = rewriting("", {"kind": "encoder_decoder"}).task.demo(count, 3)
    same = pl.Series([row % 2 == 1 for row in range(count)])
    target = pl.select(pl.when(same).then(table["source"]).otherwise(table["target"])).to_series()
    return table.with_columns(target.alias("target"), pl.Series("tongue", ["en" if row else "fr" for row in same]))


BERT = {"kind": "bert", "width": 22, "layers": 1, "heads": 2, "feed": 31}
GPT = {"kind": "gpt", "width": 28, "layers": 2, "heads": 2, "context": 151}
BRIEFLY = Generation(max_tokens=7, top_p=0.9)

CROSSING = {"kind": "encoder_decoder", "width": 28, "layers": 1, "heads": 2, "context": 64}

NETWORKS = (
    classification("auto", {"kind": "auto", "encoders": {"text": {"kind": "ngrams", "buckets": 997, "width": 7}, **NUMBERS}}),
    classification("ngrams", {"kind": "ngrams", "buckets": 997, "width": 7, "encoders": NUMBERS, "head": [5]}, loss="bce"),
    classification("transformer", {"kind": "transformer", "width": 14, "layers": 1, "heads": 2, "encoders": NUMBERS}, label_smoothing=0.1),
    classification("lstm", {"kind": "lstm", "embedding": 7, "hidden": [5, 3], "encoders": NUMBERS}, class_weight="balanced"),
    classification("bert", {"kind": "bert", "width": 14, "layers": 1, "heads": 2, "feed": 19, "encoders": NUMBERS}),
    classification("bert-full", {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": "full", "freeze": 1, "encoders": NUMBERS}),
    classification("bert-lora", {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": "lora", "lora_rank": 3, "encoders": NUMBERS}),
    classification("mlp", {**SMALL["mlp"]}, FLOWER, table=flowers),
    classification("convnet", {"kind": "convnet", "channels": [5, 7], "convolutions": 1}, PICTURE, table=pictures, rows=47),
    classification("resnet", {"kind": "resnet", "stem": 3, "channels": [5, 7], "blocks": [1, 0]}, PICTURE, table=pictures, rows=47),
    classification("series", {"kind": "lstm", "hidden": [5], "final": "last"}, {"reading": {"kind": "series"}}, table=readings),
    classification(
        "tags",
        {"kind": "ngrams", "buckets": 997, "width": 7},
        {"words": {"kind": "text", "vocabulary": 300}},
        table=tagged,
        target="tags",
        score=metric("macro_f1"),
        chance=None,
    ),
    regression("mlp", {**SMALL["mlp"]}, steps=80),
    chat("gpt", GPT, floor=-2.0),
    language("gpt", GPT, tokenizer="characters", floor=-2.6, generation=BRIEFLY),
    language("values", GPT | {"value_embeddings": "alternate", "tied": True}, tokenizer="characters", floor=-2.6, generation=BRIEFLY),
    answering("bert", BERT | {"dropout": 0.0, "attention_dropout": 0.0}, rows=211, steps=150, floor=0.6, settings={"batch_size": 32}),
    rewriting("transformer", CROSSING, steps=120, floor=-1.2),
    rewriting("tagged", CROSSING, table=tagged_pairs, language="tongue", label_smoothing=0.1, steps=150, floor=-1.8, overfits=False),
    rewriting("lstm", {"kind": "lstm_attention", "embedding": 22, "hidden": 13}, tokenizer="words", steps=80, floor=-1.2),
    masked("bert", BERT, steps=120, floor=-2.6, overfits=False),
    masked("bert-lora", {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": "lora", "lora_rank": 3}, floor=-4.5, overfits=False),
    embedding("bert", BERT, rows=211, steps=100, floor=0.3, settings={"batch_size": 32, "learning_rate": 0.003}),
    embedding("ngrams", {"kind": "ngrams", "buckets": 997, "width": 17}, rows=211, steps=100, floor=0.2, settings={"batch_size": 32}),
    embedding(
        "labels", BERT, table=checkpoint.reviews, settings={"learning_rate": 0.003}, overfits=False
    ),  # several partners share the chance
    language(
        "documents", GPT | {"positions": "learned", "kv_heads": 1, "context": 37}, packing="documents", floor=-2.6, generation=BRIEFLY
    ),
)
SOLVED = (
    searching("bm25"),
    searching("rank_fusion"),
    searching("encoder", model={"kind": "rank_fusion", "pretrained": checkpoint.tiny(), "rank": 7}),
    answering("overlap", {"kind": "word_overlap"}, table=beside, solved=True, floor=0.2, chance=None),
    language("counts", {"kind": "kneser_ney", "context": 151}, tokenizer="characters", solved=True, floor=-1.5, generation=BRIEFLY),
    *(
        rewriting(
            name.replace("_", "-"), {"kind": name, "size": "small"}, solved=True, score=metric("chrf"), chance=None, floor=floor, rows=211
        )
        for name, floor in (("copy_source", 5.0), ("lead", 5.0), ("word_table", 40.0))
    ),
    classification("majority", {"kind": "majority"}, solved=True, floor=0.5),
    classification("linear", {"kind": "linear", "buckets": 997}, solved=True),
    classification("boosted", {"kind": "boosted", "rounds": 13, "leaves": 5, "min_leaf": 3}, FLOWER, table=flowers, solved=True),
    *(
        classification(
            f"bert-{adapt}",
            {"kind": "bert", "pretrained": checkpoint.tiny(), "adapt": adapt},
            {"review": {"kind": "text"}},
            table=checkpoint.reviews,
            solved=True,
        )
        for adapt in ("frozen", "contrastive", "auto")
    ),
    regression("linear", {"kind": "linear"}, solved=True),
    regression("boosted", {"kind": "boosted", "rounds": 23, "leaves": 5, "min_leaf": 3}, solved=True),
)


def recommendation(name: str, **options: Any) -> Case:
    """A case of lists; a net that says the same of all names items by chance."""
    model = {"kind": name.replace("-", "_"), "size": "tiny"} | options.pop("model", {})
    inputs = options.pop("inputs", {})
    task = Recommendation(Recommendation.Config(user="user", item="item", time="time", model=model, inputs=inputs))
    score = metric("recall_at_10")
    options = {"rows": 1100, "floor": 0.8, "solved": True, "chance": lambda marks: score(marks) - 2 * 10 / 31} | options
    return Case(f"recommendation-{name}", task, demo(task), score, **options)


TOLD = {"title": {"kind": "text", "vocabulary": 300}, "arc": {"kind": "category"}}
RECOMMENDERS = (
    recommendation("popularity", floor=0.0, chance=None),
    recommendation("item-knn"),
    recommendation("user-knn"),
    recommendation("ease", model={"penalty": 5.0}),
    recommendation("rlae", model={"penalty": 5.0}),
    recommendation("ials"),
    recommendation("blend", model={"penalty": 5.0}),
    recommendation("content", inputs=TOLD, floor=0.7),
    recommendation("mixed", inputs=TOLD, chance=None),  # descriptions are no weights
    recommendation(
        "hybrid",
        inputs=TOLD,
        model={"encoders": {"text": {"kind": "ngrams", "buckets": 997, "width": 7}, **NUMBERS}},
        solved=False,
        steps=150,
        overfits=False,
    ),
    recommendation("sasrec", solved=False, steps=200),
    replace(
        recommendation("sasrec", model={"loss": "sampled", "sampled": 29}, solved=False, steps=200), name="recommendation-sasrec-sampled"
    ),
    recommendation("bpr", solved=False, steps=150, settings={"learning_rate": 0.05}, overfits=True),
)
TOYS = (
    Case(
        "gan",
        Gan(Gan.Config()),
        demo(Gan(Gan.Config())),
        lambda marks: -gan.cloud_error(marks),
        rows=211,
        steps=200,
        floor=-0.8,
        settings={"batch_size": 64, "learning_rate": 1e-3, "ema": 0.95},
        overfits=False,
        by_place=True,
    ),
    Case(
        "item-knn",
        ItemKnn(ItemKnn.Config()),
        demo(ItemKnn(ItemKnn.Config())),
        item_knn.recall_at_3,
        rows=1100,
        floor=0.4,
        solved=True,
        chance=lambda marks: item_knn.recall_at_3(marks) - 3 / 20,
    ),
    Case(
        "forecasting",
        Forecasting(Forecasting.Config()),
        demo(Forecasting(Forecasting.Config())),
        lambda marks: -forecasting.rmse(marks),
        rows=201,
        steps=300,
        floor=-0.15,
    ),
    Case(
        "contrastive",
        Contrastive(Contrastive.Config()),
        demo(Contrastive(Contrastive.Config())),
        contrastive.recall_at_1,
        rows=211,
        steps=80,
        floor=0.5,
        settings={"batch_size": 32, "learning_rate": 0.03},
        chance=lambda marks: contrastive.recall_at_1(marks) - 1 / len(marks),
    ),
)
CASES = {case.name: case for case in (*NETWORKS, *SOLVED, *RECOMMENDERS, *TOYS)}
STEPPED = {name: case for name, case in CASES.items() if not case.solved}
