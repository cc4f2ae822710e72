"""The only place that words Plans, Outcomes, Problems and statuses: as pages for people, as JSON, as Markdown.

A page is plain data (`show_layout`); who has a terminal colours its lines, and `plain` gives them as text.
"""

from reconciler.core.show_against import against, against_json, against_markdown, token_json, tokens
from reconciler.core.show_blast import Background
from reconciler.core.show_explain import Known, explain, explain_json, one
from reconciler.core.show_holds import orders, orders_json
from reconciler.core.show_layout import BLANK, Line, Page, Span, Style, lay_out, plain, text
from reconciler.core.show_outcome import outcome, outcome_json
from reconciler.core.show_plan import plan, plan_json
from reconciler.core.show_plan_markdown import plan_markdown
from reconciler.core.show_problems import count, invalid, problem_json, problems, problems_markdown, validated
from reconciler.core.show_rollback import rollback, rolled_back
from reconciler.core.show_status import (
    Row,
    Standing,
    listing,
    progress,
    rows,
    standing,
    status,
    status_json,
)
from reconciler.core.show_steps import steps

__all__ = [
    "BLANK",
    "Background",
    "Known",
    "Line",
    "Page",
    "Row",
    "Span",
    "Standing",
    "Style",
    "against",
    "against_json",
    "against_markdown",
    "count",
    "explain",
    "explain_json",
    "invalid",
    "lay_out",
    "listing",
    "one",
    "orders",
    "orders_json",
    "outcome",
    "outcome_json",
    "plain",
    "plan",
    "plan_json",
    "plan_markdown",
    "problem_json",
    "problems",
    "problems_markdown",
    "progress",
    "rollback",
    "rolled_back",
    "rows",
    "standing",
    "status",
    "status_json",
    "steps",
    "text",
    "token_json",
    "tokens",
    "validated",
]
