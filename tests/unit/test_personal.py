"""Personal data: what is personal is found, what only looks like it is not, and nothing found is shown."""

from __future__ import annotations

import re

import polars as pl
import pytest

from luban.data.personal import hidden, masked, personal

TRUE = {
    "email": ["写信给 li.hua@example.cn 谢谢", "Mail: a_b+c@sub.domain.co.uk.", "<x@y.io>", "联系zhang@163.com"],
    "mobile": ["电话13812345678", "call +86 138 1234 5678 now", "8613912345678", "138-1234-5678，晚上", "手机:17712345679。"],
    "telephone": ["+49 30 12345678", "+1 415 555 2671", "(415) 555-2671", "call 212-555-0187", "+442071838750"],
    "resident_id": [
        "身份证11010519491231002X",
        "11010519491231002x",
        "ID: 11010519491231002X.",
    ],
    "social_security": ["SSN 536-90-4399", "his number is 219-09-1234, she said"],
    "bank_card": [
        "4532 0151 1283 0366",
        "card 5425233430109903",
        "3782 822463 10005",
        "6011-1111-1111-1117",
    ],
}
FALSE = [
    "icon@2x.png", "@someone", "a@b", "user@localhost", "x@@y.com", "3 @ 4.50", "name@file.jpg",
    "12345678901", "order 138123456789", "1381234567", "v1.13812345678", "id-13812345678", "A13812345678", "11111111111", "12012345678",
    "2024-01-15 10:22:33", "1700000000000", "20240115102233", "3.14159265358979", "-13812345678",
    "110105194912310021", "11010519491331002X", "99010519491231002X", "110105294912310029", "11010519491231002X7",
    "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "123-45-6789", "078-05-1120", "12-123-45-6789", "123-45-67890",
    "4111111111111111", "4532015112830367", "1234567890123456", "0000000000000000", "9999888877776666", "411111111111111", "978-3-16-148410-0",
    "192.168.100.200", "+5", "+12345", "score +1234567", "1+415555267100", "555-1234", "115-555-2671", "12.5-13.7", "QQ 123456789", "邮编 100000",
    "GB18030-2005", "2023-2024-2025", "10.1145/3292500.3330701", "ISBN 9787111128069", "SN:62220212", "1000000000", "1e10", "",
]  # fmt: skip


def kinds(cell: str) -> list[str]:
    return [hit.kind for hit in personal(pl.Series(["nothing here", cell]))]


@pytest.mark.parametrize(("kind", "cell"), [(kind, cell) for kind, cells in TRUE.items() for cell in cells if cell])
def test_found(kind: str, cell: str) -> None:
    assert kinds(cell) == [kind]


@pytest.mark.parametrize("cell", FALSE)
def test_what_only_looks_like_it(cell: str) -> None:
    assert kinds(cell) == []


def test_counts_are_of_cells_and_examples_are_masked() -> None:
    cells = ["li@example.cn and wang@example.cn", "li@example.cn", None, "13812345678"]
    found = personal(pl.Series(cells * 3))
    assert [(hit.kind, hit.count) for hit in found] == [("email", 6), ("mobile", 3)]
    assert found[0].examples == ["l*@*******.**"]
    for hit in found:
        assert all(secret not in str(hit.examples) for secret in ("li@", "example", "3812"))


@pytest.mark.parametrize("most", range(1, 40))
def test_a_cut_through_it_shows_nothing(most: int) -> None:
    text = "call 13812345678 or li.hua@example.cn, thanks"
    shown = hidden(text, most)
    assert shown == hidden(text)[:most]
    assert not re.search(r"\d\d|ua|xample", shown)


@pytest.mark.parametrize(("value", "shown"), [("+86 138 1234 5678", "+86 *** **** ****"), ("4111-1111-1111-1111", "4***-****-****-****")])
def test_masks(value: str, shown: str) -> None:
    assert masked(value) == shown


def test_bare_numbers_are_personal_only_where_nearly_all_are() -> None:
    mobiles = pl.Series("phone", [13812345678 + 7919 * i for i in range(50)])
    assert [hit.kind for hit in personal(mobiles)] == ["mobile"]
    assert personal(pl.Series("order", [10_012_345_678 + 1_234_567_891 * i for i in range(50)])) == []
    assert personal(pl.Series("time_ms", [1_700_000_000_000 + i for i in range(50)])) == []
    assert personal(pl.Series("x", [1.5, 2.5])) == []
