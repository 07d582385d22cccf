"""What is written to run a bundle elsewhere says what it should, whatever the names are; the command it holds is run here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from luban.cli.export import command
from luban.errors import LubanError
from luban.serving import deployment

NASTY = ["a \"b\" $HOME %n \\ 'c'", "模型 一", "#x: {y}", "- a: b", "$(touch x)", "`id`"]


def written(shelf: dict[str, Path], place: Path, **asked: Any) -> tuple[Path, str]:
    out = place / "out"
    known = {"name": "", "label": "", "port": 8000, "hosts": (), "base": "python:3.11-slim"}
    return out, deployment.write(shelf["number"], out, **(known | asked))


def of_dockerfile(out: Path) -> list[str]:
    lines = [line for line in (out / "Dockerfile").read_text().splitlines() if line.startswith("CMD ")]
    return json.loads(lines[-1].removeprefix("CMD "))


def of_unit(out: Path) -> list[str]:
    """As systemd splits and expands it: quotes, backslashes, %% and $$."""
    text = next(out.glob("*.service")).read_text()
    line = next(line for line in text.splitlines() if line.startswith("ExecStart=")).removeprefix("ExecStart=")
    return [part.replace("%%", "%").replace("$$", "$") for part in shlex.split(line)]


@pytest.mark.parametrize("name", ["prices", *NASTY])
def test_names_arrive_as_they_are(name: str, shelf: dict[str, Path], tmp_path: Path) -> None:
    out, _ = written(shelf, tmp_path, name=name, hosts=("models.example",), port=9001)
    wanted = [
        "luban",
        "serve",
        f"{name}=/srv/bundle",
        "--keys",
        "/run/secrets/keys.toml",
        "--host",
        "0.0.0.0",
        "--port",
        "9001",
        "--allow-host",
        "models.example",
    ]
    assert of_dockerfile(out) == wanted
    compose = yaml.safe_load((out / "compose.yaml").read_text())
    (service,) = compose["services"].values()
    assert [part.replace("$$", "$") for part in service["command"]] == wanted  # as compose reads it
    assert not re.search(r"(?<!\$)\$(\$\$)*(?!\$)", "".join(service["command"]))
    assert service["read_only"] is True
    parts = list(yaml.safe_load_all((out / "kubernetes.yaml").read_text()))
    assert [part["kind"] for part in parts] == ["Deployment", "Service", "NetworkPolicy"]
    container = parts[0]["spec"]["template"]["spec"]["containers"][0]
    assert [part.replace("$$(", "$(") for part in container["args"]] == wanted  # as Kubernetes reads it
    assert not re.search(r"(?<!\$)\$\(", "".join(container["args"]))
    assert container["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": 9001}
    assert parts[2]["spec"]["egress"] == []
    unit = of_unit(out)
    label = next(out.glob("*.service")).stem.removeprefix("luban-")
    assert unit[:4] == ["/opt/luban/venv/bin/luban", "serve", f"{name}=/opt/luban/{label}/bundle", "--keys"]
    assert unit[4] == "${CREDENTIALS_DIRECTORY}/keys.toml"
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", label)


def test_the_key_stays_out_of_the_image(shelf: dict[str, Path], tmp_path: Path) -> None:
    out, key = written(shelf, tmp_path)
    for path in out.rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes()
    assert stat.S_IMODE((out / "keys.toml").stat().st_mode) == 0o600
    assert "keys.toml" in (out / ".dockerignore").read_text()


WRONG = [
    {"label": "A"},
    {"label": "a b"},
    {"label": "-a"},
    {"base": "x y"},
    {"base": "a\nRUN id"},
    {"hosts": ("a b",)},
    {"hosts": ("a\n",)},
    {"name": "a\nb"},
    {"port": 0},
]


@pytest.mark.parametrize("asked", WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_quoted_is_refused(asked: dict[str, Any], shelf: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(LubanError, match="L185"):
        written(shelf, tmp_path, **asked)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_bundle_is_not_written(shelf: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(shelf["number"], tmp_path / "b")
    (tmp_path / "b" / "card.md").write_text("x")
    result = CliRunner().invoke(command, [str(tmp_path / "b"), "--to", "service", "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, LubanError)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(shelf: dict[str, Path], tmp_path: Path) -> None:
    written(shelf, tmp_path)
    with pytest.raises(LubanError, match="L186"):
        written(shelf, tmp_path)


def test_what_the_image_runs_answers(shelf: dict[str, Path], tmp_path: Path) -> None:
    """The image's own command, its paths as they lie here, on a free port."""
    out, key = written(shelf, tmp_path, name="prices")
    words = [word.replace("/srv/bundle", str(out / "bundle")).replace("/run/secrets", str(out)) for word in of_dockerfile(out)]
    words[words.index("8000")] = "0"
    process = subprocess.Popen([sys.executable, "-m", *words], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().rsplit(":", 1)[1])
        url = f"http://127.0.0.1:{port}"
        assert urllib.request.urlopen(f"{url}/health/ready").status == 200
        body, head = json.dumps({"row": {"x": 1}}).encode(), {"Content-Type": "application/json"}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{url}/v1/predict/prices", body, head))
        assert refused.value.code == 401
        refused.value.close()
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/v1/predict/prices", body, head | {"Authorization": f"Bearer {key}"})
        ) as answer:
            assert "number" in json.load(answer)["answer"]
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


def test_systemd_takes_the_unit(shelf: dict[str, Path], tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    out, _ = written(shelf, tmp_path)
    found = subprocess.run([analyze, "verify", str(next(out.glob("*.service")))], capture_output=True, text=True)
    assert "Unknown" not in found.stderr
    assert "Invalid" not in found.stderr
