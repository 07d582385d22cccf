"""Chinese for click's own words. click asks gettext, which wants compiled files; here its look-up is replaced by this table."""

from __future__ import annotations

from typing import Any

import click
from click import core, decorators, exceptions, formatting, parser, types

from luban.messages import language

CHINESE = {
    "Usage:": "用法：",
    "Options": "选项",
    "Commands": "命令",
    "Positional arguments": "位置参数",
    "Show this message and exit.": "显示本帮助并退出。",
    "%(prog)s, version %(version)s": "%(prog)s，版本 %(version)s",
    "default: {default}": "默认：{default}",
    "deprecated": "已弃用",
    "Missing argument": "缺少参数",
    "Missing option": "缺少选项",
    "Missing parameter": "缺少参数",
    "Missing command.": "缺少命令。",
    "Missing {param_type}": "缺少 {param_type}",
    "No such option {name!r}.": "没有选项 {name!r}。",
    "No such command {name!r}.": "没有命令 {name!r}。",
    "Did you mean {possibility}?": "是否想写 {possibility}？",
    "(Did you mean one of: {possibilities}?)": "（是否想写其中之一：{possibilities}？）",
    "Option {name!r} does not take a value.": "选项 {name!r} 不带值。",
    "Option {name!r} requires an argument.": "选项 {name!r} 需要一个值。",
    "Got unexpected extra argument ({args})": "多出一个参数（{args}）",
    "Got unexpected extra arguments ({args})": "多出几个参数（{args}）",
    "Invalid value: {message}": "无效的值：{message}",
    "Invalid value for {param_hint}: {message}": "{param_hint} 的值无效：{message}",
    "Try '{command} {option}' for help.": "运行 '{command} {option}' 查看帮助。",
    "Aborted!": "已中止！",
}


def speak_chinese() -> None:
    """Where the reader's language is Chinese, let click speak it too; what the table lacks stays English."""
    if language() != "zh":
        return
    for module in (core, decorators, exceptions, formatting, parser, types, click.termui):
        replace(module)


def replace(module: Any) -> None:
    """Put the table in the place of gettext."""
    if hasattr(module, "_"):
        module._ = lambda message: CHINESE.get(message, message)
    if hasattr(module, "ngettext"):
        module.ngettext = lambda one, many, number: CHINESE.get(one if number == 1 else many, one if number == 1 else many)
