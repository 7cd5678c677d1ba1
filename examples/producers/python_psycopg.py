"""Insert a job from Python: `DATABASE_URL=postgresql://… python python_psycopg.py`; needs `psycopg`."""

import os

import psycopg
from psycopg.types.json import Json

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    row = connection.execute(
        "INSERT INTO jobs (type, payload, owner) VALUES (%s, %s, %s) RETURNING id",
        ("greet", Json({"name": "Ada"}), "ada"),
    ).fetchone()
    print("job", row[0])
