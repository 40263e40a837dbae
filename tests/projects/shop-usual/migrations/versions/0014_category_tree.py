"""Categories may lie in categories, in an order of their own.

Revision ID: 0014
Revises: 0013
Create Date: 2021-07-05
"""
import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    with op.batch_alter_table("categories") as batch:
        batch.add_column(sa.Column("parent_id", sa.Integer))
        batch.add_column(sa.Column("position", sa.Integer, nullable=False, server_default="0"))
        batch.create_foreign_key("fk_categories_parent_id", "categories", ["parent_id"], ["id"])
    # Until today they were shown in the order of their names.
    op.execute(
        """
        UPDATE categories SET position = (
            SELECT count(*) FROM categories AS other WHERE other.name < categories.name
        )
        """
    )
