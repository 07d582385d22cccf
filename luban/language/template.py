"""How a conversation is written as one text: what opens and closes each turn, by its role.

ChatML and its likes are settings of it: `<|im_start|>user\\n` … `<|im_end|>\\n`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from luban.errors import DataError
from luban.messages import tr

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, kw_only=True)
class Template:
    """What stands around a turn."""

    opening: str = "<|im_start|>{role}\n"
    """Before a turn; `{role}` is its role."""
    closing: str = "<|im_end|>\n"
    """After a turn; what of it ends an answer is `stop`."""
    stop: str = "<|im_end|>"
    """The closing begins with it, and generation ends at it."""
    system: str = ""
    """What the first turn says where a conversation brings no system turn; empty = nothing."""
    roles: tuple[str, ...] = ROLES
    """Roles a turn may have."""

    def __post_init__(self) -> None:
        """Raises ValueError for a template that never stops, or that tells no role from another."""
        if not self.stop or not self.closing.startswith(self.stop):
            raise ValueError(tr("a template must close each turn with its stop"))
        if "{role}" not in self.opening:
            raise ValueError(tr("a template must open each turn with its role"))

    def turns(self, messages: Iterable[Mapping[str, Any]], where: str = "") -> list[tuple[str, str, str]]:
        """(role, opening, content) of each message, a system turn first where one is set. Raises DataError L274, L275."""
        found = [self.turn(message, where) for message in messages]
        if self.system and (not found or found[0][0] != "system"):
            found.insert(0, ("system", self.opening.replace("{role}", "system"), self.system))
        return found

    def turn(self, message: Mapping[str, Any], where: str) -> tuple[str, str, str]:
        """One message. Raises DataError L274 for an unknown role, L275 for one without content."""
        role, content = message.get("role"), message.get("content")
        if role not in self.roles:
            raise DataError("L274", tr("a turn has a role the template does not know"), where=where, received=role, allowed=self.roles)
        if not isinstance(content, str):
            raise DataError("L275", tr("a turn has no text"), where=where, received=content, fix=tr("give each turn role and content"))
        return role, self.opening.replace("{role}", role), content

    def prompt(self, messages: Iterable[Mapping[str, Any]], where: str = "") -> str:
        """The conversation as far as it went, and the opening of the answer."""
        said = "".join(opening + content + self.closing for _, opening, content in self.turns(messages, where))
        return said + self.opening.replace("{role}", "assistant")


PROBES = ([("user", "A?")], [("system", "S."), ("user", "B b"), ("assistant", "c"), ("user", "D")], [("user", "x"), ("assistant", "y")])


def of_jinja(source: str) -> Template | None:
    """The template that a checkpoint writes in Jinja, where ours can say the same; it is tried on conversations, in a sandbox, once.

    None where it does more than put something before and after each turn. Raises ValueError for what is no Jinja.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    try:
        program = environment.from_string(source)

        def render(turns: list[tuple[str, str]], *, answer: bool) -> str:
            messages = [{"role": role, "content": content} for role, content in turns]
            return str(program.render(messages=messages, add_generation_prompt=answer, bos_token="", eos_token=""))

        found = guessed(render)
        if found is None:
            return None
        for probe in PROBES:
            messages = [{"role": role, "content": content} for role, content in probe]
            written = "".join(opening + content + found.closing for _, opening, content in found.turns(messages))
            if written != render(probe, answer=False) or found.prompt(messages) != render(probe, answer=True):
                return None
    except TemplateError as error:
        raise ValueError(tr("its chat template cannot be read: {why}", why=str(error)[:60])) from error
    except (TypeError, ValueError, KeyError, AttributeError):
        return None
    return found


def guessed(render: Any) -> Template | None:
    """Opening and closing as they stand around a user's turn that follows a system's."""
    whole = render([("system", "\x01"), ("user", "\x02"), ("assistant", "\x03")], answer=False)
    head, first, rest = whole.partition("\x01")
    between, second, rest = rest.partition("\x02")
    again, third, closing = rest.partition("\x03")
    if not (first and second and third) or "system" not in head or not closing.strip():
        return None
    opening = head.replace("system", "{role}")
    if between != closing + opening.replace("{role}", "user") or again != closing + opening.replace("{role}", "assistant"):
        return None
    plain = render([("user", "\x02")], answer=False).partition("\x02")[0]
    before = plain.removesuffix(opening.replace("{role}", "user"))
    system = before.removeprefix(head).removesuffix(closing) if before.startswith(head) else ""
    return Template(opening=opening, closing=closing, stop=closing.strip(), system=system)
