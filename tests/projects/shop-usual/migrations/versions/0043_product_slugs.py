"""Products have an address of their own on the site.

Revision ID: 0043
Revises: 0042
Create Date: 2023-10-09
"""
import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"


def slugify(name: str) -> str:
    """Frozen here: a later change to the shop's own slugify must not change this migration."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-") or "product"


def upgrade() -> None:
    op.add_column("products", sa.Column("slug", sa.String(200)))
    op.add_column(
        "products", sa.Column("weight_grams", sa.Integer, nullable=False, server_default="0")
    )
    bind = op.get_bind()
    taken: "set[str]" = set()
    for product in bind.execute(sa.text("SELECT id, name FROM products ORDER BY id")).all():
        slug = slugify(product.name)
        if slug in taken:
            slug = f"{slug}-{product.id}"
        taken.add(slug)
        bind.execute(
            sa.text("UPDATE products SET slug = :slug WHERE id = :id"),
            {"slug": slug, "id": product.id},
        )

    # SQLite refuses to rename a table back while a view still asks for the old one.
    view = bind.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'product_sales'"))
    definition = view.scalar_one()
    op.execute("DROP VIEW product_sales")
    with op.batch_alter_table("products") as batch:
        batch.alter_column("slug", existing_type=sa.String(200), nullable=False)
    op.execute(definition)
    op.create_index("ix_products_slug", "products", ["slug"], unique=True)
