"""Packages as registries give them: files in a compressed archive, and a link that leads out of it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal


def packed(path: Path, members: Mapping[str, bytes], link: str, mode: Literal["w", "w:gz"] = "w:gz") -> Path:
    """The archive; `link` is the name under which /etc/passwd is offered."""
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        outside = tarfile.TarInfo(link)
        outside.type, outside.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(outside)
    return path
