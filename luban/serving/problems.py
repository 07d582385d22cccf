"""What a request is told when it cannot be answered: a status, a code, a sentence; never its own words, never a trace."""

from __future__ import annotations

import json
from typing import Any

from luban.errors import LubanError
from luban.messages import Said, in_both, said

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class RequestError(LubanError):
    """L6xx: answered over HTTP with `status`."""

    exit_code = 7

    def __init__(
        self, code: str, status: int, what: Said, *, details: list[dict[str, Any]] | None = None, retry_s: int = 0, param: str | None = None,
        known_as: str = "",
    ) -> None:  # fmt: skip
        self.status, self.details, self.retry_s, self.param, self.known_as = status, details or [], retry_s, param, known_as
        super().__init__(code, what)

    def body(self, request_id: str, language: str = "en") -> bytes:
        """As JSON, in the shape that clients of the OpenAI routes read too."""
        facts: dict[str, Any] = {
            "message": in_both(self.what)[language],
            "type": KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error"),
            "param": self.param,
            "code": self.known_as or self.code,
            "request_id": request_id,
        }
        if self.known_as:
            facts["luban_code"] = self.code
        if self.details:
            facts["details"] = [detail | {"what": in_both(detail["what"])[language]} for detail in self.details]
        return json.dumps({"error": facts}, ensure_ascii=False).encode()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Those that belong to it."""
        out = [(b"retry-after", str(self.retry_s).encode())] if self.retry_s else []
        return [*out, (b"www-authenticate", b"Bearer")] if self.status == 401 else out


def language_of(headers: list[tuple[bytes, bytes]]) -> str:
    """`zh` where the client would rather read Chinese."""
    asked = next((value for name, value in headers if name == b"accept-language"), b"")
    return "zh" if asked.lower().startswith(b"zh") else "en"


def unanswerable(error: LubanError) -> RequestError:
    """422, by the code of what the model says against the rows; without their words."""
    return RequestError("L605", 422, said("the model cannot answer this: {code}, see the page of error codes", code=error.code))


def not_found() -> RequestError:
    """404."""
    return RequestError("L601", 404, said("there is nothing at this address"))


def unknown_model() -> RequestError:
    """404, as existing clients of language models know it."""
    return RequestError("L602", 404, said("no model of this name is served; GET /v1/models lists them"), param="model")


def wrong_method() -> RequestError:
    """405."""
    return RequestError("L603", 405, said("this address does not take this method"))


def unreadable() -> RequestError:
    """400: not HTTP, or not JSON."""
    return RequestError("L604", 400, said("the request is not such as HTTP and JSON have it"))


def invalid(what: Said, details: list[dict[str, Any]] | None = None, *, param: str | None = None) -> RequestError:
    """422."""
    return RequestError("L605", 422, what, details=details, param=param)


def too_large() -> RequestError:
    """413."""
    return RequestError("L606", 413, said("the request is larger than the service allows"))


def head_too_large() -> RequestError:
    """431."""
    return RequestError("L607", 431, said("the request's head is larger than the service allows"))


def too_slow() -> RequestError:
    """408."""
    return RequestError("L608", 408, said("the request came too slowly"))


def wrong_type() -> RequestError:
    """415."""
    return RequestError("L609", 415, said("the body is neither application/json nor multipart/form-data, or it is compressed"))


def no_key() -> RequestError:
    """401."""
    return RequestError("L610", 401, said("a key is wanted: Authorization: Bearer …"))


def too_often(retry_s: int) -> RequestError:
    """429, by the key's own limit."""
    return RequestError("L611", 429, said("this key has used up its requests for now"), retry_s=max(1, retry_s))


def overloaded(retry_s: int) -> RequestError:
    """429, by what waits already."""
    return RequestError("L612", 429, said("more requests wait than can be answered in time"), retry_s=max(1, retry_s))


def wrong_host() -> RequestError:
    """421."""
    return RequestError("L613", 421, said("the service is not known by this Host; --allow-host adds a name"))


def wrong_origin() -> RequestError:
    """403."""
    return RequestError("L614", 403, said("pages of this Origin may not ask; --allow-origin adds one"))


def expired() -> RequestError:
    """503: its time ran out before its turn came."""
    return RequestError("L615", 503, said("the request's time ran out before it was answered"), retry_s=1)


def leaving() -> RequestError:
    """503: the service is about to stop."""
    return RequestError("L616", 503, said("the service is stopping"), retry_s=1)


def unable(what: Said) -> RequestError:
    """404: the model's task cannot do this."""
    return RequestError("L617", 404, what)


def unsupported(param: str | None = None) -> RequestError:
    """400: a parameter that would be ignored."""
    return RequestError("L618", 400, said("this parameter, or this value of it, is not supported"), param=param)


def internal() -> RequestError:
    """500."""
    return RequestError("L619", 500, said("the service failed; its log says more under this request's number"))


def crowded() -> RequestError:
    """503: too many connections."""
    return RequestError("L620", 503, said("too many connections"), retry_s=1)


def too_long(tokens: int, most: int) -> RequestError:
    """400, under the name by which clients of language models know it: they then shorten the conversation."""
    what = said("the prompt has {n} tokens; this model's maximum context length leaves room for {most}", n=tokens, most=most)
    return RequestError("L621", 400, what, known_as="context_length_exceeded", param="prompt")
