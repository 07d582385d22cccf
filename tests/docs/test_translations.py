"""Every sentence a user sees has its Chinese, with the same placeholders."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from luban.messages import both, tr


def test_chinese_is_complete_and_current(translations: ModuleType) -> None:
    assert translations.problems() == []


def test_one_file_holds_the_chinese(translations: ModuleType) -> None:
    assert [path.name for path in translations.CHINESE.parent.rglob("*.toml")] == ["zh.toml"]


def test_zh_toml_is_sorted(translations: ModuleType) -> None:
    keys = list(translations.chinese())
    assert keys == sorted(keys, key=lambda key: (key.casefold(), key))


def test_templates_that_are_no_literals_are_only_those_allowed(translations: ModuleType) -> None:
    places = {(place.rsplit(":", 1)[0], call) for place, call in translations.passed_on()}
    assert places == set(translations.PASSED_ON)


def test_faults_are_found(translations: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {"unknown key": "recipe.py:1", "received {value:.2f}": "errors.py:1", "the file is empty": "a.py:1"}
    known = {"received {value:.2f}": "收到 {value}", "old": "旧", "the file is empty": "the file is empty"}
    monkeypatch.setattr(translations, "templates", lambda: wanted)
    monkeypatch.setattr(translations, "chinese", lambda: known)
    monkeypatch.setattr(translations, "passed_on", lambda: [("a.py:3", "text")])
    found = translations.problems()
    assert [line.split(":")[0] for line in found] == ["not a literal", "missing", "stale", "other placeholders", "not Chinese"]


def test_calls_are_read_from_the_tree(translations: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text('from luban.messages import tr\nx = tr("one " "two {n}", n=1)\ny = tr(x)\n', encoding="utf-8")
    (tmp_path / "b.py").write_text('def both(en, zh): ...\nboth("never mind", "x")\n', encoding="utf-8")
    monkeypatch.setattr(translations, "PACKAGE", tmp_path)
    assert translations.templates() == {"one two {n}": "a.py:2"}
    assert translations.passed_on() == [("a.py:3", "x")]


def test_the_language_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUBAN_LANG", "zh_CN.UTF-8")
    assert tr("unknown key") == "未知的键"
    assert tr("received {value}", value=3) == "收到 3"
    monkeypatch.setenv("LUBAN_LANG", "en")
    assert tr("unknown key") == "unknown key"
    assert both("received {value}", value=3) == {"en": "received 3", "zh": "收到 3"}
