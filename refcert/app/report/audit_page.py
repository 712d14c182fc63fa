"""The page of `refcert audit`: one self-contained HTML file, made from the report alone.

The page needs nothing but itself: style, figures and pictures are inside, no script, no font, nothing that is loaded.
The same report gives the same bytes, and the number of pictures is bounded (`audit_view.PICTURED`).
"""

from __future__ import annotations

from refcert.app.audit_report import AuditReport
from refcert.app.report.audit_view import view_of
from refcert.app.report.pages import render_page

__all__ = ["audit_page"]


def audit_page(report: AuditReport, *, resumable: bool = False) -> str:
    """The page as one string. Everything from the report is escaped.

    resumable: the audit has a folder, so that `--resume` can go on where a budget ended it.
    """
    return render_page("audit.html", view=view_of(report, resumable=resumable))
