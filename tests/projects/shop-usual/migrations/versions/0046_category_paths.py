"""A category knows its path from the top, so that a subtree is one range of an index.

Revision ID: 0046
Revises: 0045
Create Date: 2024-01-15
"""
import sqlalchemy as sa
from alembic import op

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    op.add_column(
        "categories", sa.Column("path", sa.String(400), nullable=False, server_default="")
    )
    op.execute(
        """
        WITH RECURSIVE tree (id, path) AS (
            SELECT id, slug FROM categories WHERE parent_id IS NULL
            UNION ALL
            SELECT categories.id, tree.path || '/' || categories.slug
            FROM categories JOIN tree ON categories.parent_id = tree.id
        )
        UPDATE categories SET path = (SELECT path FROM tree WHERE tree.id = categories.id)
        """
    )
    op.create_index("ix_categories_path", "categories", ["path"], unique=True)
