"""What a service allows; a request can only lower it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from luban.errors import RecipeError
from luban.messages import tr
from luban.schema import validate

Seconds = Annotated[float, Gt(0), Le(86_400)]
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on one request, on what waits, and on the time either may take."""

    body_bytes: Count = 16_000_000
    """Bytes of a request's body; more is refused while it is read."""
    rows: Count = 1024
    """Rows of a request."""
    depth: Count = 16
    """Lists and tables inside one another in a request's JSON."""
    characters: Count = 200_000
    """Characters of one text."""
    numbers: Count = 1_000_000
    """Numbers of one series."""
    pixels: Count = 64_000_000
    """Pixels of one picture, by its header; nothing larger is decoded."""
    media_bytes: Count = 16_000_000
    """Bytes of one picture or sound."""
    head_s: Seconds = 10.0
    """Seconds within which a request's head must be there."""
    body_s: Seconds = 30.0
    """Seconds within which its body must be there."""
    answer_s: Seconds = 30.0
    """Seconds within which it is answered, waiting included."""
    wait_s: Seconds = 0.1
    """Seconds a request may be under way, by what lately was measured and how far such forecasts were out; above it new ones are refused (429)."""
    waiting: Count = 1024
    """Requests of one model that may wait at most."""
    always: Count = 4
    """Requests of one model that may wait however long that takes."""
    batch_rows: Count = 256
    """Rows answered together."""
    batch_bytes: Count = 4_000_000
    """Bytes of rows answered together."""
    linger_s: Annotated[float, Ge(0), Le(1)] = 0.002
    """Seconds a batch waits for company, where the one before it had some."""
    connections: Count = 2048
    """Open connections; beyond them a new one is answered 503."""
    tokens: Count = 4096
    """Tokens of one generated answer."""
    prompt_tokens: Count = 8192
    """Tokens of one prompt; the model's own context may be shorter."""
    streams: Count = 8
    """Answers of one model that are said beside each other, a step for all of them."""
    choices: Count = 8
    """Answers to one prompt that a request may ask for (`n`)."""
    prompts: Count = 16
    """Prompts that one request may hold, each with its answers."""
    waiting_streams: Annotated[int, Ge(0)] = 64
    """Answers of one model that may wait for their turn; beyond them a new one is refused (429)."""
    prefixes: Annotated[int, Ge(0), Le(1024)] = 4
    """Answers that ended whose keys and values are kept, so that prompts which begin alike are not read again; 0 = none."""
    part_tokens: Count = 512
    """Tokens of a prompt read at once; longer ones are read in parts, between the steps of others."""
    layout_bytes: Annotated[int, Ge(0)] = 1_000_000_000
    """Bytes that a second layout of a language model's weights may take, which answers beside each other are said quicker by; 0 = none."""
    guesses: Annotated[int, Ge(0), Le(15)] = 15
    """Tokens of an answer that are guessed at most, from its prompt and what was said, and checked in one step where that pays; answers stay the same. 0 = none."""
    speak_s: Seconds = 600.0
    """Seconds within which a generated answer ends; its first piece comes within `answer_s`."""
    drain_s: Seconds = 30.0
    """Seconds that requests in work are given once the service is told to stop."""
    leave_s: Annotated[float, Ge(0), Le(600)] = 1.0
    """Seconds between saying `not ready` and closing the door, for the balancer in front to notice."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the service listens, and whom it answers."""

    host: str = "127.0.0.1"
    """Address it listens on."""
    port: Annotated[int, Ge(0), Le(65_535)] = 8000
    """Port; 0 = any that is free."""
    allowed_hosts: tuple[str, ...] = ()
    """Names a request's `Host` may say, beside the address itself."""
    allowed_origins: tuple[str, ...] = ()
    """Origins whose pages may ask, beside the service's own."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


def limits_of(texts: tuple[str, ...]) -> Limits:
    """`body_bytes=1000000` and the like. Raises RecipeError L104, L105, L184."""
    values: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        try:
            values[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise RecipeError("L184", tr("KEY=VALUE is wanted"), where="--limit", received=text) from error
        if not sign:
            raise RecipeError("L184", tr("KEY=VALUE is wanted"), where="--limit", received=text)
    return validate(Limits, values, where="--limit")
