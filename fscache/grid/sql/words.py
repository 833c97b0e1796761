"""Names in DuckDB's dialect, by what a query may do with them."""

from __future__ import annotations

MOVABLE = {
    "BETWEEN",
    "CASE",
    "CAST",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "LAMBDA",
    "LAMBDA_REF",
    "OPERATOR",
    "PARAMETER",
    "TYPE",
}
"""Nodes of DuckDB's parser that expressions which can be moved are made of. Not among them: STAR,
SUBQUERY, WINDOW, POSITIONAL_REFERENCE, and whatever comes with a later version."""
BARE = {
    *("current_catalog", "current_database", "current_date", "current_role", "current_schema"),
    *("current_time", "current_timestamp", "current_user", "localtime", "localtimestamp"),
    *("session_user", "today", "user"),
}
"""Functions that are called without parentheses, as if they were columns."""
REFUSED = frozenset(
    {
        "current_connection_id",
        "current_query",
        "current_query_id",
        "current_setting",
        "current_transaction_id",
        "currval",
        "getenv",
        "getvariable",
        "in_search_path",
        "json_execute_serialized_sql",
        "nextval",
        "pg_sleep",
        "query",
        "query_table",
        "setseed",
        "setval",
        "sleep_ms",
        "stats",
        "txid_current",
        "vector_type",
        "write_log",
    }
)
"""Functions that tell of this process, or act on it; and the ones that end up as SQL again."""
TABLE_FUNCTIONS = frozenset(
    {
        "generate_series",
        "json_each",
        "json_tree",
        "range",
        "repeat",
        "repeat_row",
        "unnest",
    }
)
"""Table functions that make rows of their arguments alone."""
