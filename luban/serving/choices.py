"""How one choice of a generated answer is written, as clients of language models read it; with chances where they were asked for."""

from __future__ import annotations

from typing import Any, Protocol

from luban.serving.desks import Word


class Shape(Protocol):
    """How a route writes one choice."""

    kinds: tuple[str, str, str]  # of a whole answer, of a part, and of its id
    param: str  # where the prompt stands

    def __init__(self, index: int) -> None:
        """Of the choice with this number."""
        ...

    def opening(self) -> dict[str, Any] | None:
        """What a stream begins with."""
        ...

    def whole(self, text: str, finish: str, words: list[Word] | None) -> dict[str, Any]:
        """All of it."""
        ...

    def part(self, text: str, finish: str | None, words: list[Word] | None) -> dict[str, Any]:
        """What is new."""
        ...


class ChatShape:
    """`/v1/chat/completions`."""

    kinds: tuple[str, str, str] = ("chat.completion", "chat.completion.chunk", "chatcmpl")
    param: str = "messages"

    def __init__(self, index: int) -> None:
        self.index = index

    def opening(self) -> dict[str, Any] | None:
        """Who speaks."""
        return {"index": self.index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}

    def whole(self, text: str, finish: str, words: list[Word] | None) -> dict[str, Any]:
        """A message."""
        message = {"role": "assistant", "content": text, "refusal": None}
        return {"index": self.index, "message": message, "logprobs": self.chances(words), "finish_reason": finish}

    def part(self, text: str, finish: str | None, words: list[Word] | None) -> dict[str, Any]:
        """A delta."""
        delta = {"content": text} if text or words or finish is None else {}
        return {"index": self.index, "delta": delta, "logprobs": self.chances(words), "finish_reason": finish}

    @staticmethod
    def chances(words: list[Word] | None) -> dict[str, Any] | None:
        """Each token with its bytes and the logarithm of its chance, and the likeliest ones."""
        if words is None:
            return None
        one = [
            spelt(word.data, word.log) | {"top_logprobs": [spelt(data, log) for data, log in word.others]}
            for word in words
        ]  # fmt: skip
        return {"content": one, "refusal": None}


class TextShape:
    """`/v1/completions`; offsets count the characters of the answer."""

    kinds: tuple[str, str, str] = ("text_completion", "text_completion", "cmpl")
    param: str = "prompt"

    def __init__(self, index: int) -> None:
        self.index, self.offset = index, 0

    def opening(self) -> dict[str, Any] | None:
        """Nothing."""
        return None

    def whole(self, text: str, finish: str, words: list[Word] | None) -> dict[str, Any]:
        """A text."""
        return {"index": self.index, "text": text, "logprobs": self.chances(words), "finish_reason": finish}

    def part(self, text: str, finish: str | None, words: list[Word] | None) -> dict[str, Any]:
        """The same of what is new."""
        return {"index": self.index, "text": text, "logprobs": self.chances(words), "finish_reason": finish}

    def chances(self, words: list[Word] | None) -> dict[str, Any] | None:
        """Lists side by side."""
        if words is None:
            return None
        names, offsets = [text_of(word.data) for word in words], []
        for name in names:
            offsets.append(self.offset)
            self.offset += len(name)
        tops = [{text_of(data): finite(log) for data, log in word.others} for word in words] if any(w.others for w in words) else None
        return {"tokens": names, "token_logprobs": [finite(word.log) for word in words], "top_logprobs": tops, "text_offset": offsets}


def spelt(data: bytes, log: float) -> dict[str, Any]:
    """One token."""
    return {"token": text_of(data), "logprob": finite(log), "bytes": list(data)}


def text_of(data: bytes) -> str:
    """As text; a part of a character by its bytes, as clients know it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def finite(log: float) -> float:
    """As JSON can have it: what cannot be said is told as very unlikely."""
    return max(log, -9999.0)
