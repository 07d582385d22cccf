"""Personal data in the columns: counted by kind, shown masked only."""

from __future__ import annotations

from collections.abc import Iterator

from luban.data.checks.finding import Finding, Subject, ok
from luban.data.personal import personal
from luban.messages import said

MOST_ROWS = 100_000


def personal_data(subject: Subject) -> Iterator[Finding]:
    """E-mail addresses, telephone numbers, ids and cards, in a sample of at most 100,000 rows; also of columns that are no inputs."""
    step = -(-max(1, subject.table.height) // MOST_ROWS)
    looked = subject.table.gather_every(step)
    found = {name: hits for name in looked.columns if (hits := personal(looked[name]))}
    subject.found["personal"] = (found, looked.height)
    names = {
        "email": said("e-mail addresses"),
        "resident_id": said("resident ids"),
        "bank_card": said("bank cards"),
        "mobile": said("mobile numbers"),
        "social_security": said("social security numbers"),
        "telephone": said("telephone numbers"),
    }
    fix = said("leave it out or mask it, unless you may use it; a bundle keeps some rows")
    for name, hits in found.items():
        for hit in hits:
            counted = {"count": f"{hit.count:,}", "what": names[hit.kind], "rows": f"{looked.height:,}", "example": hit.examples[0]}
            yield Finding(
                "W259", "warning", said("personal data"), said("{count} {what} in {rows} rows, such as {example}", **counted), fix, name
            )
    if not found:
        yield ok(said("personal data"), said("no personal data found in {rows} rows", rows=f"{looked.height:,}"))
