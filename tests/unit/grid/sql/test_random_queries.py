"""Random queries over shards give what one DuckDB gives over the whole: names, types and values."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import duckdb
import pytest

from fscache.grid.sql.facts import Key, Limits
from tests.support.sqlwork import Shards, same_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHARDS = 5
_BOUNDS = (20, 40, 60, 80)
_KEY = Key("k", ("range", _BOUNDS, _SHARDS, "BIGINT"))
_QUERIES = 500

# Of each row of `facts`: a key, small and large integers, floating point with NaN and infinities,
# decimals, dates, texts, truth values, all of them NULL now and then.
_FACTS = """
    SELECT (i * 37 % 100)::BIGINT AS k, i AS id,
      CASE WHEN i % 11 = 0 THEN NULL ELSE (i % 7)::INTEGER END AS a,
      CASE WHEN i % 13 = 0 THEN NULL ELSE i * 1000003 * 65537 END AS b,
      CASE WHEN i % 17 = 0 THEN NULL WHEN i % 19 = 0 THEN 'nan'::DOUBLE
        WHEN i % 97 = 0 THEN 'inf'::DOUBLE ELSE (i % 50) / 8 - 2 END AS x,
      CASE WHEN i % 23 = 0 THEN NULL ELSE ((i * 7919 % 100000) / 100)::DECIMAL(12, 2) END AS d,
      CASE WHEN i % 29 = 0 THEN NULL ELSE DATE '2020-01-01' + (i % 400)::INTEGER END AS t,
      CASE WHEN i % 31 = 0 THEN NULL ELSE chr((97 + i % 5)::INTEGER) || (i % 3)::VARCHAR END AS s,
      CASE WHEN i % 7 = 0 THEN NULL ELSE i % 2 = 0 END AS f
    FROM range({rows}) rows(i) WHERE {where}
"""
_NUMBERS = ["a", "b", "x", "d", "a + 1", "x * 2", "d - a", "abs(a - 3)", "coalesce(a, 0)", "k % 4"]
_EXACT = ["a", "d", "k % 4", "a + 1", "coalesce(a, 0)", "k"]
_KEYS = ["a", "s", "f", "t", "k", "k % 3", "x", "d > 500", "month(t)", "a IS NULL", "upper(s)", "d"]
_ANY = [*_NUMBERS, "s", "t", "f", "s || 'z'", "t + 1", "NOT f", "CASE WHEN f THEN a ELSE k END"]
_CONDITIONS = [
    "a > 2",
    "x > 1",
    "NOT x <= 1",
    "isnan(x)",
    "d BETWEEN 100 AND 700.5",
    "t >= DATE '2020-06-01'",
    "s LIKE 'a%'",
    "s IN ('a0', 'b1', 'c2')",
    "f",
    "a IS NULL OR f",
    "k < 30",
    "k BETWEEN 200 AND 300",
    "b IS NOT NULL",
    "x IS DISTINCT FROM 0.5",
    "id % 3 = 0",
]
_OTHERS = [
    "median({})",
    "product({})",
    "quantile_disc({}, 0.25)",
    "string_agg(s ORDER BY id)",
    "list(a ORDER BY id)",
    "stddev_samp({})",
    "arg_max(s, id)",
    "entropy({})",
    "count(DISTINCT s)",
    "sum(DISTINCT a)",
    "mad({})",
]


_TIED = [
    "facts l JOIN more r ON l.k = r.k",
    "facts l, more r WHERE l.k = r.k AND l.a = r.a",
    "facts l LEFT JOIN more r ON l.k = r.k AND r.a > 2",
    "facts l SEMI JOIN more r ON l.k = r.k AND r.x > 1",
    "facts l ANTI JOIN more r USING (k)",
    "facts l JOIN (SELECT k, sum(d) d, max(a) a FROM more GROUP BY k) r ON l.k = r.k",
    "facts l LEFT JOIN (SELECT k, count(*) a FROM more GROUP BY k HAVING count(*) > 2) r USING (k)",
    "more l RIGHT JOIN facts r ON l.k = r.k",
    "facts l JOIN small s ON l.a = s.a JOIN more r ON r.k = l.k",
    "facts l LEFT JOIN small s ON l.a = s.a LEFT JOIN more r ON r.k = l.k AND s.a > 1",
    "facts l LEFT JOIN more r ON r.a = l.a AND r.k < l.k",
    "small s LEFT JOIN facts l ON s.a = l.a",
    "facts l JOIN more r ON l.k = r.k JOIN loose z ON z.id = l.id",
    "(SELECT DISTINCT k, a FROM facts) l JOIN more r USING (k)",
    "(SELECT k, a, row_number() OVER (PARTITION BY k ORDER BY id) n FROM facts) l JOIN more r USING (k)",
    "(SELECT k, a FROM facts UNION ALL SELECT k, a FROM more) l JOIN more r USING (k)",
    "(SELECT k, a FROM facts ORDER BY id LIMIT 50) l JOIN more r ON l.k = r.k",
]
_TIED_CONDITIONS = [
    "EXISTS (SELECT 1 FROM more q WHERE q.k = l.k AND q.a > 1)",
    "NOT EXISTS (SELECT 1 FROM more q WHERE q.k = l.k AND q.a = l.a)",
    "EXISTS (SELECT 1 FROM more q JOIN facts w ON q.k = w.k WHERE w.k = l.k AND q.a > w.a)",
    "l.a > (SELECT avg(q.a) FROM more q WHERE q.k = l.k)",
    "l.a > (SELECT avg(q.a) FROM more q WHERE q.k < l.k)",
    "l.k IN (SELECT k FROM more GROUP BY k HAVING max(a) > 3)",
    "l.k NOT IN (SELECT k FROM more GROUP BY k HAVING max(a) > 3)",
    "l.a IN (SELECT max(a) FROM facts GROUP BY s)",
    "l.a = ANY (SELECT q.a FROM more q WHERE q.k = l.k)",
    "l.a > (SELECT min(q.a) FROM more q WHERE q.k = l.k AND q.a >= ALL (SELECT a FROM small))",
]
_FEW = [
    "l.k < 3",
    "l.k = 7 AND l.a IS NOT NULL",
    "l.s = 'a0' AND l.k < 30",
    "l.t < DATE '2020-01-09'",
    "l.d BETWEEN 100 AND 120",
    "isnan(l.x)",
    "l.k < 0",
    "l.a IS NULL AND l.k < 20",
    "l.k < 90",
    "l.id IN (4, 5, 6)",
    "l.k IN (SELECT a FROM small WHERE name < 'name 3')",
]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    top = str(tmp_path_factory.mktemp("random"))
    made = Shards(top)
    with duckdb.connect() as connection:

        def write(name: str, queries: Sequence[str], key: Key | None) -> None:
            paths = []
            for number, query in enumerate(queries):
                paths.append(os.path.join(top, f"{name}.{number}.parquet"))
                connection.execute(f"COPY ({query}) TO '{paths[-1]}' (FORMAT parquet)")
            made.add(name, paths, key)

        edges = ["k < 20", *(f"k >= {low} AND k < {low + 20}" for low in (20, 40, 60)), "k >= 80"]

        def ranges(rows: int, condition: str) -> list[str]:
            cut = [edge.replace("k", "(i * 37 % 100)") for edge in edges]
            return [_FACTS.format(rows=rows, where=f"{edge} AND {condition}") for edge in cut]

        # Two tables dealt alike, with shards that have no rows; one that was not; two small ones.
        write("facts", ranges(900, "NOT (i * 37 % 100) BETWEEN 40 AND 59"), _KEY)
        write("more", ranges(300, "i % 3 <> 0 AND (i * 37 % 100) < 80"), _KEY)
        write(
            "loose",
            [_FACTS.format(rows=200, where=f"i % 4 = {n} AND i % 4 <> 2") for n in range(4)],
            None,
        )
        write(
            "many", [_FACTS.format(rows=1200, where=f"(i // 7) % 3 = {n}") for n in range(3)], None
        )
        write("few", [_FACTS.format(rows=150, where="true")], None)
        write("small", ["SELECT i::INTEGER AS a, 'name ' || i AS name FROM range(5) r(i)"], None)
        write("nothing", ["SELECT 1::INTEGER AS a, 'x' AS name WHERE false"], None)
    return made


class _Writer:
    """Makes queries up."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def query(self) -> tuple[str, bool]:
        """Return a query, and whether it gives its rows an order."""
        kind = self._dice.choice(
            [
                *(
                    "rows",
                    "total",
                    "groups",
                    "groups",
                    "groups",
                    "distinct",
                    "within",
                    "with",
                    "union",
                ),
                *("tied", "tied", "tied"),
            ]
        )
        return getattr(self, f"_{kind}")()

    def _one(self, choices: Sequence[str]) -> str:
        return self._dice.choice(choices)

    def _maybe(self, text: str, chance: float = 0.5) -> str:
        return text if self._dice.random() < chance else ""

    def _where(self) -> str:
        count = self._dice.choice([0, 0, 1, 1, 2])
        if not count:
            return ""
        return " WHERE " + f" {self._one(['AND', 'OR'])} ".join(
            f"({self._one(_CONDITIONS)})" for _ in range(count)
        )

    def _source(self) -> str:
        """Return FROM with one source of the columns that are meant without a name before them."""
        table = self._one(["facts", "facts", "more", "loose"])
        inner = f"(SELECT * FROM {table}{self._where()}) AS inside"
        return self._one([table, table, table, inner])

    def _joined(self) -> tuple[str, str]:
        """Return FROM with a join, and what to write before the columns of its first source."""
        join = self._one(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN"])
        other = self._one(["more", "small", "nothing", "loose"])
        key = "k" if other in {"more", "loose"} else "a"
        if other == "loose" and join != "SEMI JOIN":
            key = "id"  # else there are too many rows
        condition = f"l.{key} = r.{key}" + self._maybe(" AND r.a > 1", 0.3)
        return f"facts AS l {join} {other} AS r ON {condition}", "l."

    def _aggregate(self, prefix: str = "", *, other: float = 0.15) -> str:
        if self._dice.random() < other and not prefix:
            return self._one(_OTHERS).format(self._one(["a", "k % 4", "id % 10"]))
        name = self._one(["count", "sum", "avg", "min", "max", "count(*)", "bool_or", "bit_xor"])
        if name == "count(*)":
            call = name
        elif name in {"min", "max", "count"}:
            call = f"{name}({prefix}{self._one(['a', 'b', 'x', 'd', 't', 's', 'f'])})"
        elif name == "bool_or":
            call = f"bool_or({prefix}f)"
        elif name == "bit_xor":
            call = f"bit_xor({prefix}a)"
        else:
            call = f"{name}({prefix}{self._one(['a', 'b', 'x', 'd'])})"
        call += self._maybe(f" FILTER (WHERE {prefix}a > 1)", 0.15)
        return self._one([call, call, f"{call} + 1"]) if name in {"sum", "count", "avg"} else call

    def _rows(self) -> tuple[str, bool]:
        columns = ", ".join(f"{self._one(_ANY)} AS c{n}" for n in range(self._dice.randint(1, 4)))
        order = self._maybe(f" ORDER BY {self._one(_EXACT)} DESC NULLS FIRST, s, id", 0.6)
        limit = f" LIMIT {self._dice.randint(0, 30)}" + self._maybe(" OFFSET 3") if order else ""
        window = self._maybe(", row_number() OVER (PARTITION BY a ORDER BY id) AS w", 0.15)
        window += self._maybe(", sum(d) OVER (PARTITION BY k) AS v", 0.1)
        query = f"SELECT {columns}{window} FROM {self._source()}{self._where()}{order}"
        return query + self._maybe(limit), bool(order)

    def _total(self) -> tuple[str, bool]:
        if self._dice.random() < 0.4:
            source, prefix = self._joined()
            calls = ", ".join(self._aggregate(prefix) for _ in range(self._dice.randint(1, 3)))
            return f"SELECT {calls} FROM {source}", False
        calls = ", ".join(self._aggregate() for _ in range(self._dice.randint(1, 4)))
        return f"SELECT {calls} FROM {self._source()}{self._where()}", False

    def _groups(self) -> tuple[str, bool]:
        keys = self._dice.sample(_KEYS, self._dice.randint(1, 2))
        source, prefix, where = self._source(), "", self._where()
        if self._dice.random() < 0.3:
            source, prefix = self._joined()
            keys = [
                f"{prefix}{key}" for key in self._dice.sample(["a", "s", "k", "f", "t"], len(keys))
            ]
            where = self._maybe(f" WHERE {prefix}k < 50", 0.4)
        calls = [self._aggregate(prefix) for _ in range(self._dice.randint(1, 3))]
        listed = ", ".join([f"{key} AS g{n}" for n, key in enumerate(keys)] + calls)
        by = self._one([", ".join(keys), ", ".join(str(n + 1) for n in range(len(keys))), "ALL"])
        having = self._maybe(" HAVING count(*) > 2", 0.3)
        order = self._maybe(" ORDER BY " + ", ".join(f"g{n}" for n in range(len(keys))), 0.5)
        limit = self._maybe(f" LIMIT {self._dice.randint(1, 10)}") if order else ""
        return f"SELECT {listed} FROM {source}{where} GROUP BY {by}{having}{order}{limit}", bool(
            order
        )

    def _distinct(self) -> tuple[str, bool]:
        columns = ", ".join(self._dice.sample(_KEYS, self._dice.randint(1, 3)))
        return f"SELECT DISTINCT {columns} FROM {self._source()}{self._where()}", False

    def _within(self) -> tuple[str, bool]:
        table = self._one(["more", "loose", "facts", "small"])
        condition = self._one(
            [
                "a > (SELECT avg(a) FROM {t})",
                "a IN (SELECT a FROM {t} WHERE a > 2)",
                "a NOT IN (SELECT a FROM {t} WHERE a > 4)",
                "EXISTS (SELECT 1 FROM {t} AS u WHERE u.a = o.a AND u.a < 4)",
                "NOT EXISTS (SELECT * FROM more AS u WHERE u.k = o.k AND u.a > o.a)",
                "d > (SELECT avg(u.d) FROM more AS u WHERE u.k = o.k)",
                "k IN (SELECT k FROM more GROUP BY k HAVING count(*) > 2)",
                "id = (SELECT max(id) FROM loose)",
            ]
        ).format(t=table)
        what = self._one(["count(*), sum(d)", "id, s", "f, count(*)"])
        group = " GROUP BY f" if what.startswith("f,") else ""
        return f"SELECT {what} FROM facts AS o WHERE {condition}{group}", False

    def _with(self) -> tuple[str, bool]:
        key = self._one(["k", "a", "s"])
        body = f"SELECT {key} AS g, sum(d) AS total, count(*) AS n FROM {self._source()} GROUP BY 1"
        use = self._one(
            [
                "SELECT n, count(*), sum(total) FROM w GROUP BY n",
                "SELECT g, total FROM w WHERE total > (SELECT avg(total) FROM w)",
                "SELECT max(n), min(total) FROM w",
                f"SELECT o.id, w.total FROM more AS o JOIN w ON o.{key} = w.g WHERE o.a > 2",
            ]
        )
        return f"WITH w AS ({body}) {use}", False

    def _tied(self) -> tuple[str, bool]:
        """Return a query whose parts are tied to each other by the key, or nearly."""
        source = self._one(_TIED)
        condition = self._one(["", "l.a > 2", "l.k < 50", *_TIED_CONDITIONS])
        if condition:
            condition = (" AND " if " WHERE " in source else " WHERE ") + condition
        what, group = self._one(
            [
                ("count(*), sum(l.a)", ""),
                ("count(DISTINCT l.k)", ""),
                ("DISTINCT l.k", ""),
                ("l.k, l.a", ""),
                ("l.k, count(*), max(l.a)", " GROUP BY l.k"),
                ("l.k, median(l.a)", " GROUP BY l.k"),
                ("l.a, count(*)", " GROUP BY l.a"),
                ("l.k, (SELECT count(*) FROM more q WHERE q.k = l.k)", ""),
                ("l.a, count(*) OVER (PARTITION BY l.k)", ""),
                ("l.k, rank() OVER (PARTITION BY l.k ORDER BY l.a)", ""),
                ("sum((SELECT max(q.a) FROM more q WHERE q.k = l.k))", ""),
            ]
        )
        if group:
            group += self._maybe(" HAVING count(*) > (SELECT count(*) / 20 FROM more)", 0.3)
        return f"SELECT {what} FROM {source}{condition}{group}", False

    def keyed(self) -> str:
        """Return a query over tables that were not dealt alike, one of which may filter another."""
        own, other = self._dice.sample(["facts", "more", "loose", "many", "few", "few", "small"], 2)
        other = "many" if own == other else other
        keys = ["a"] if "small" in {own, other} else ["k", "a", "d", "t", "s", "x", "id", "b"]
        key = self._one(keys)
        few = self._one([*_FEW, ""]) if own != "small" else self._one(["l.a = 3", "l.name > 'z'"])
        also = f" AND {self._one(_FEW).replace('l.', 'r.')}" if other != "small" else ""
        also = self._maybe(also, 0.5)
        also += self._maybe(" AND l.a > 1", 0.2)
        tie = f"r.{key} = l.{key}" + self._maybe(f" AND r.a = l.{self._one(['a', 'a', 'k'])}", 0.2)
        if own == "small":
            tie = f"r.{key} = l.{key}"
        what = self._one(["count(*)", "count(*), count(DISTINCT l.a)", "l.a, count(*)"])
        source, conditions = f"{own} l", [few]
        match self._dice.randint(0, 9):
            case 0 | 1:
                join = self._one(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
                source = f"{own} l {join} {other} r ON {tie}{also}"
            case 2:
                join = self._one(["SEMI JOIN", "ANTI JOIN"])
                source = f"{own} l {join} {other} r ON {tie}{also}"
            case 3 | 4:
                word = self._one(["EXISTS", "NOT EXISTS"])
                conditions.append(f"{word} (SELECT * FROM {other} r WHERE {tie}{also})")
            case 5 | 6:
                word = self._one(["IN", "NOT IN"])
                asked = f"SELECT r.{key} FROM {other} r WHERE r.a <> 1{also}"
                asked += self._maybe(f" GROUP BY r.{key} HAVING count(*) > 1", 0.3)
                conditions.append(f"l.{key} {word} ({asked})")
            case 7:
                conditions.append(f"l.a > (SELECT avg(r.a) FROM {other} r WHERE {tie}{also})")
            case 8:
                conditions.append(f"(SELECT count(*) FROM {other} r WHERE {tie}{also}) < 2")
            case _:
                conditions.append(f"EXISTS (SELECT 1 FROM {other} r WHERE {tie}{also}) OR l.a = 2")
        where = " AND ".join(f"({each})" for each in conditions if each)
        group = " GROUP BY l.a" if what.startswith("l.a") else ""
        return f"SELECT {what} FROM {source}{' WHERE ' if where else ''}{where}{group}"

    def _union(self) -> tuple[str, bool]:
        word = self._one(["UNION ALL", "UNION", "INTERSECT", "EXCEPT"])
        left = f"SELECT a, s FROM {self._source()}{self._where()}"
        return f"{left} {word} SELECT a, s FROM {self._source()}{self._where()}", False


@pytest.mark.parametrize("part", range(10))
def test_random_queries_give_what_duckdb_alone_gives(shards: Shards, part: int) -> None:
    for seed in range(part * _QUERIES // 10, (part + 1) * _QUERIES // 10):
        query, ordered = _Writer(seed).query()
        _check(shards, query, ordered=ordered)


@pytest.mark.parametrize("replicated", [1 << 30, 0])
@pytest.mark.parametrize("part", range(4))
def test_keys_that_are_sent_around_change_no_answer(
    shards: Shards, part: int, replicated: int
) -> None:
    """Few keys, none, too many, nulls; where they filter a table, and where they must not."""
    shards.limits = Limits(replicated, large=0)
    try:
        for seed in range(part * 50, (part + 1) * 50):
            _check(shards, _Writer(seed).keyed(), ordered=False)
    finally:
        shards.limits = None


def test_keys_are_sent_around_and_given_up_for(shards: Shards) -> None:
    shards.limits = Limits(large=0)
    kinds, gave_up = set(), shards.gave_up
    try:
        for seed in range(60):
            shards.sql(_Writer(1000 + seed).keyed())
            kinds |= {step.kind for step in shards.ran}
    finally:
        shards.limits = None
    assert kinds >= {"keys", "reduced"}
    assert shards.gave_up > gave_up


def _check(shards: Shards, query: str, *, ordered: bool) -> None:
    names, types, rows = shards.alone(query)
    found = shards.sql(query)
    assert (found.columns, found.types) == (names, types), query
    assert same_rows(found.rows(), rows, ordered=ordered), query


def test_random_queries_are_of_all_classes(shards: Shards) -> None:
    kinds = {shards.prepare(_Writer(seed).query()[0])[1].plan.kind for seed in range(_QUERIES)}
    assert kinds >= {"gather", "partition", "rows", "scan", "top-n", "two-phase"}
