"""Keywords, a text with commas until now, become tags.

Revision ID: 0036
Revises: 0035
Create Date: 2023-02-13
"""
import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    tags = op.create_table(
        "tags",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(50), nullable=False),
        sa.UniqueConstraint("name", name="uq_tags_name"),
    )
    product_tags = op.create_table(
        "product_tags",
        sa.Column("product_id", sa.Integer, primary_key=True),
        sa.Column("tag_id", sa.Integer, primary_key=True),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_product_tags_product_id"),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name="fk_product_tags_tag_id"),
    )

    bind = op.get_bind()
    products = bind.execute(
        sa.text("SELECT id, keywords FROM products WHERE keywords IS NOT NULL")
    ).all()
    words_of = {
        product.id: {word.strip().lower() for word in product.keywords.split(",")} - {""}
        for product in products
    }
    all_words = sorted(set().union(*words_of.values()))
    tag_ids = {word: number for number, word in enumerate(all_words, start=1)}
    op.bulk_insert(tags, [{"id": id_, "name": word} for word, id_ in tag_ids.items()])
    op.bulk_insert(
        product_tags,
        [
            {"product_id": product_id, "tag_id": tag_ids[word]}
            for product_id, words in words_of.items()
            for word in sorted(words)
        ],
    )
    with op.batch_alter_table("products") as batch:
        batch.drop_column("keywords")
