"""Realistic reports to render and to test: Chinese reviews, handwritten digits, house prices."""

from __future__ import annotations

from typing import Any

import numpy as np

from luban.columns import Columns
from luban.evaluation.calibration import reliability
from luban.evaluation.confusion import confusion, per_class
from luban.evaluation.intervals import interval, paired_interval
from luban.evaluation.metrics import find, scores
from luban.evaluation.residuals import regression
from luban.evaluation.roc import roc
from luban.evaluation.thumbnails import thumbnail
from luban.evaluation.verdict import verdict

REVIEWS = [
    "快递很快，包装也完整，就是书的纸张有点薄，总体还算满意吧。",
    "看了前三章就看不下去了，翻译腔太重，不知道为什么评分这么高。",
    "酒店位置不错，离地铁站走路五分钟，但是隔音实在太差，半夜还能听见隔壁电视的声音，前台态度也一般，下次不会再住了。",
    "还行。",
    "第二次购买了，孩子很喜欢，推荐给有小孩的家庭！",
    "说是正品，用了一周就开始掉漆，客服让我自己承担运费。",
]


def row(name, kind, role, marks, names, *, parameters, seconds, chosen=False, tested=True) -> dict[str, Any]:
    """One model of the ladder, its marks halved into validation and test."""
    half = len(marks) // 2
    parts = {"validation": marks.take(np.arange(half)), "test": marks.take(np.arange(half, len(marks)))}
    scored = {}
    for split, part in parts.items():
        edges = {metric: interval(find(metric), part, draws=200) for metric in names}
        scored[split] = {
            metric: {"value": value, "low": edges[metric].low, "high": edges[metric].high} for metric, value in scores(names, part).items()
        }
    return {
        "name": name,
        "kind": kind,
        "role": role,
        "parameters": parameters,
        "fit_seconds": seconds,
        "validation": scored["validation"],
        "test": scored["test"] if tested else None,
        "chosen": chosen,
        "error": None,
    }


def failed(name: str, error: str) -> dict[str, Any]:
    """A model of the ladder that could not be fitted."""
    return {"name": name, "kind": name, "role": "baseline", "parameters": None, "fit_seconds": None} | {
        "validation": {},
        "test": None,
        "chosen": False,
        "error": error,
    }


def classified(label: np.ndarray, classes: int, skill: float, seed: int) -> Columns:
    """Marks of a model of some skill."""
    rng = np.random.default_rng(seed)
    logits = skill * np.eye(classes)[label] + rng.gumbel(0, 1, (len(label), classes)) * 0.9
    chance = np.exp(1.2 * logits) / np.exp(1.2 * logits).sum(1, keepdims=True)
    return Columns({"label": label, "guess": chance.argmax(1), "chance": chance.astype(np.float32)}, np.arange(len(label)))


def frame(name, task, command, metric, data, seconds) -> dict[str, Any]:
    """What every report holds."""
    return {
        "run": {
            "name": name,
            "task": task,
            "created": "2026-11-22T05:20:11+08:00",
            "command": command,
            "luban_version": "0.1.0",
            "seconds": seconds,
            "energy_kwh": 0.0031,
        },
        "data": data,
        "protocol": {
            "split": {"en": "stratified, 80 / 10 / 10 %", "zh": "分层抽样，80 / 10 / 10 %"},
            "metric": metric,
            "seed": 0,
            "folds": None,
            "level": 0.95,
            "chosen_by": {
                "en": "best validation score; the cheapest rung within its interval",
                "zh": "验证集得分最高者；若更省的模型落在其区间内则取之",
            },
            "test_scored": 1,
        },
        "warnings": [],
        "environment": {
            "python": "3.11.7",
            "torch": "2.13.0+cpu",
            "cpu": "2 cores",
            "threads": 2,
            "precision": "float32",
            "platform": "Linux-6.1-x86_64",
        },
        "bundle": {"path": f"runs/{name}/bundle", "bytes": 4_310_233},
        "forecast": None,
    }


def curves(steps: int, start: float, end: float, seed: int) -> dict[str, Any]:
    """Loss falls, the score rises and then sags a little."""
    rng = np.random.default_rng(seed)
    at = np.arange(10, steps + 1, 10)
    loss = 0.12 + 0.6 * np.exp(-at / (steps / 4)) + rng.normal(0, 0.02, len(at))
    valid = np.arange(steps // 15, steps + 1, steps // 15)
    score = end - (end - start) * np.exp(-valid / (steps / 5)) - 0.02 * np.maximum(0, valid / steps - 0.7)
    return {
        "train": [[int(s), float(v)] for s, v in zip(at, loss, strict=True)],
        "validation": [[int(s), float(v)] for s, v in zip(valid, score, strict=True)],
        "best_step": int(valid[score.argmax()]),
    }


def reviews() -> dict[str, Any]:
    """Binary text classification in Chinese; the network beats the baselines."""
    rng = np.random.default_rng(0)
    label, names = (rng.random(4200) < 0.55).astype(int), ["accuracy", "macro_f1", "auc", "log_loss", "ece"]
    majority = Columns(
        {"label": label, "guess": np.ones(4200, int), "chance": np.tile(np.float32([0.45, 0.55]), (4200, 1))}, np.arange(4200)
    )
    linear, network = classified(label, 2, 1.75, 1), classified(label, 2, 2.3, 2)
    half = np.arange(2100, 4200)
    ladder = [
        row("majority", "majority", "baseline", majority, names, parameters=2, seconds=0.01),
        row("linear", "linear", "baseline", linear, names, parameters=61_204, seconds=2.1),
        failed("boosted", "L203 boosted: no number or category columns → add some, or leave this rung out"),
        row("transformer", "transformer · small", "network", network, names, parameters=1_284_354, seconds=96.0, chosen=True),
    ]
    gain = paired_interval(find("accuracy"), network.take(half), linear.take(half))
    test = network.take(half)
    wrong = [
        {
            "row": 101 + 7 * i,
            "truth": ["负面", "正面"][i % 2],
            "answer": ["正面", "负面"][i % 2],
            "confidence": 0.99 - 0.02 * i,
            "inputs": {"review": text},
        }
        for i, text in enumerate(REVIEWS)
    ]
    data = {
        "name": "reviews-zh.csv",
        "hash": "sha256:3fd1c0b8a2e94c1d",
        "rows": 20_991,
        "splits": {"train": 16_791, "validation": 2_100, "test": 2_100},
        "rejects": 3,
        "inputs": {"review": "text"},
        "target": "sentiment",
        "labels": ["负面", "正面"],
        "class_counts": {"正面": 11_402, "负面": 9_589},
        "findings": ["W214 review: 312 duplicate texts were kept in one split"],
    }
    return frame("reviews-zh", "classification", "luban train reviews.toml", "accuracy", data, 171.0) | {
        "ladder": ladder,
        "verdict": verdict(ladder, metric="accuracy", gain=gain),
        "curves": curves(1500, 0.5, 0.87, 3),
        "confusion": confusion(test, ["负面", "正面"]),
        "calibration": {"bins": reliability(test)},
        "roc": roc(test),
        "per_class": per_class(test, ["负面", "正面"]),
        "wrong": wrong,
        "warnings": ["W231 reviews.csv: 3 rows rejected (empty text) → see rejects.jsonl"],
    }


def digits() -> dict[str, Any]:
    """Ten classes of images; network and linear model can't be told apart."""
    from sklearn.datasets import load_digits

    images, label = load_digits(return_X_y=True)
    images, names = (255 - images.reshape(-1, 8, 8) * 15).astype(np.uint8), ["accuracy", "macro_f1", "log_loss", "ece"]
    linear, network = classified(label, 10, 7.0, 11), classified(label, 10, 7.1, 12)
    ladder = [
        row("majority", "majority", "baseline", classified(label, 10, 0.1, 10), names, parameters=10, seconds=0.01),
        row("linear", "linear", "baseline", linear, names, parameters=650, seconds=0.4),
        row("boosted", "boosted", "baseline", classified(label, 10, 6.3, 14), names, parameters=41_200, seconds=1.9),
        row("convnet", "convnet · tiny", "network", network, names, parameters=38_154, seconds=23.0, chosen=True),
    ]
    missed = (network["guess"] != label).nonzero()[0]
    wrong = [
        {
            "row": int(i),
            "truth": int(label[i]),
            "answer": int(network["guess"][i]),
            "confidence": float(network["chance"][i].max()),
            "inputs": {"image": thumbnail(images[i])},
        }
        for i in sorted(missed, key=lambda i: -network["chance"][i].max())[:24]
    ]
    data = {
        "name": "digits.parquet",
        "hash": "sha256:9a0b7711d4",
        "rows": 1797,
        "splits": {"train": 1257, "validation": 270, "test": 270},
        "rejects": 0,
        "inputs": {"image": "image"},
        "target": "digit",
        "labels": [str(i) for i in range(10)],
        "class_counts": {str(i): int((label == i).sum()) for i in range(10)},
        "findings": [],
    }
    labels = [str(i) for i in range(10)]
    return frame("digits", "classification", "luban train digits.toml", "accuracy", data, 31.0) | {
        "ladder": ladder,
        "verdict": verdict(ladder, metric="accuracy"),
        "curves": curves(600, 0.1, 0.985, 4),
        "confusion": confusion(network, labels),
        "calibration": {"bins": reliability(network)},
        "per_class": per_class(network, labels),
        "wrong": wrong,
    }


def houses() -> dict[str, Any]:
    """Regression; a baseline wins."""
    rng = np.random.default_rng(5)
    truth, names = rng.lognormal(12.2, 0.4, 2400), ["rmse", "mae", "r2"]

    def marks(noise: float, seed: int) -> Columns:
        return Columns({"truth": truth, "answer": truth * np.exp(np.random.default_rng(seed).normal(0, noise, 2400))}, np.arange(2400))

    mean = Columns({"truth": truth, "answer": np.full(2400, truth.mean())}, np.arange(2400))
    ladder = [
        row("mean", "majority", "baseline", mean, names, parameters=1, seconds=0.0),
        row("linear", "linear", "baseline", marks(0.22, 1), names, parameters=214, seconds=0.2),
        row("boosted", "boosted", "baseline", marks(0.12, 2), names, parameters=51_000, seconds=1.4, chosen=True),
        row("mlp", "mlp · small", "network", marks(0.17, 3), names, parameters=92_161, seconds=48.0),
    ]
    test = marks(0.12, 2).take(np.arange(1200, 2400))
    worst = np.argsort(-np.abs(test["answer"] - test["truth"]))[:6]
    wrong = [
        {
            "row": int(i),
            "truth": float(test["truth"][i]),
            "answer": float(test["answer"][i]),
            "confidence": None,
            "inputs": {"district": "朝阳区", "area": 87.5 + i, "built": 1998, "description": "南北通透，近地铁，带车位。"},
        }
        for i in worst
    ]
    data = {
        "name": "houses.csv",
        "hash": "sha256:77aa01",
        "rows": 12_000,
        "splits": {"train": 9600, "validation": 1200, "test": 1200},
        "rejects": 17,
        "inputs": {"district": "category", "area": "number", "built": "number", "description": "text"},
        "target": "price",
        "labels": None,
        "class_counts": None,
        "findings": ["W209 built: 41 values missing; the model is told", "W216 price: 4 values lie over 10 spreads from the mean"],
    }
    return frame("houses", "regression", "luban train houses.toml --set training.seed=0", "rmse", data, 4210.0) | {
        "ladder": ladder,
        "verdict": verdict(ladder, metric="rmse"),
        "regression": regression(test),
        "wrong": wrong,
        "curves": None,
    }
