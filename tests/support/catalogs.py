"""Templates without a builder, for tests that need many, and checks of JSON against schemas."""

import hashlib
import json
import os
from pathlib import Path

DAY_NS = 86400 * 10**9


def fake_key(number: int) -> str:
    return hashlib.sha256(f"fake {number}".encode()).hexdigest()


def make_template(store_path: Path, number: int, name="", size=100, created_ns=10**18) -> str:
    """Publishes a template of one opaque file app.db, as if copied from another machine."""
    key = fake_key(number)
    directory = store_path / "v1/templates" / key
    (directory / "files").mkdir(parents=True, mode=0o700)
    content = bytes([number % 256]) * size
    (directory / "files/app.db").write_bytes(content)
    manifest = {
        "format": "mintfs-template",
        "version": 1,
        "key": key,
        "file": "app.db",
        "created_ns": created_ns,
        "build_time_ns": 1_000_000,
        "builder": ["make", f"number-{number}", "{out}"],
        "arguments": ["make", f"number-{number}", "{out}"],
        "environment": [],
        "inputs": [],
        "warnings": [],
        "entries": [
            {
                "path": "app.db",
                "type": "file",
                "mode": "0644",
                "size_bytes": size,
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        ],
    }
    if name:
        manifest["name"] = name
    (directory / "manifest.json").write_text(json.dumps(manifest))
    os.chmod(directory / "files/app.db", 0o444)
    os.chmod(directory / "files", 0o555)
    return key


TYPES = {"text": str, "number": int, "flag": bool, "list": list, "none": type(None)}


def check_schema(value, schema, path="$"):
    """Asserts that a JSON value matches a schema: a name of TYPES ("text|none" allows both),
    [schema of each item], or {member: schema} with exactly these members."""
    if isinstance(schema, str):
        wanted = tuple(TYPES[name] for name in schema.split("|"))
        ok = isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))
        assert ok, f"{path}: {value!r} is no {schema}"
    elif isinstance(schema, list):
        assert isinstance(value, list), f"{path}: {value!r} is no list"
        for i, item in enumerate(value):
            check_schema(item, schema[0], f"{path}[{i}]")
    else:
        assert isinstance(value, dict), f"{path}: {value!r} is no object"
        assert set(value) == set(schema), f"{path}: {set(value) ^ set(schema)}"
        for member, inner in schema.items():
            check_schema(value[member], inner, f"{path}.{member}")
