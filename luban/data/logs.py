"""Whether a table is a log of users and items, told by the names of its columns and by what repeats in them."""

from __future__ import annotations

import re

import polars as pl

ROLES = {
    "user": r"(user|customer|client|member|visitor|buyer|reader|listener|session|account)([_\s\-]?(id|no|code))?|uid|用户(编号|id)?|客户(编号)?|会员(编号)?",
    "item": r"(item|product|movie|film|article|news|book|song|track|artist|goods|sku|stock|asset|video)([_\s\-]?(id|no|code))?|asin|iid"
    r"|商品(编号|id)?|物品(编号)?|电影(编号)?|文章(编号)?|歌曲(编号)?",
    "time": r"time|timestamp|ts|date|datetime|(event|invoice|order|created|click|view)[_\s\-]?(time|date|at|timestamp)|时间|日期|时间戳",
}
MOST_SHARE = 0.9  # of the rows, that may hold a user or an item of their own


def event_log(table: pl.DataFrame) -> dict[str, str] | None:
    """What says who, what and when -> the column; None for a table that is no such log."""
    found: dict[str, str] = {}
    for role, pattern in ROLES.items():
        names = [name for name in table.columns if re.fullmatch(pattern, name.strip(), re.IGNORECASE) and name not in found.values()]
        if names:
            found[role] = names[0]
    if not {"user", "item"} <= set(found):
        return None
    repeated = all(1 < table[found[role]].n_unique() <= MOST_SHARE * table.height for role in ("user", "item"))
    return found if repeated else None
