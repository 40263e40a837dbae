"""The database itself keeps the price history: two importers forgot to.

Revision ID: 0045
Revises: 0044
Create Date: 2023-11-20
"""
from alembic import op

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    # Changes that were forgotten: the last known price ended when the product was last touched.
    op.execute(
        """
        UPDATE price_history SET valid_until = (
            SELECT updated_at FROM products WHERE products.id = price_history.product_id
        )
        WHERE valid_until IS NULL AND price_cents <> (
            SELECT price_cents FROM products WHERE products.id = price_history.product_id
        )
        """
    )
    op.execute(
        """
        INSERT INTO price_history (product_id, price_cents, valid_from)
        SELECT id, price_cents, updated_at FROM products
        WHERE id NOT IN (SELECT product_id FROM price_history WHERE valid_until IS NULL)
        """
    )
    op.execute(
        """
        CREATE TRIGGER products_price_inserted AFTER INSERT ON products
        BEGIN
            INSERT INTO price_history (product_id, price_cents, valid_from)
            VALUES (NEW.id, NEW.price_cents, NEW.updated_at);
        END
        """
    )
    op.execute(
        """
        CREATE TRIGGER products_price_changed AFTER UPDATE OF price_cents ON products
        WHEN NEW.price_cents <> OLD.price_cents
        BEGIN
            UPDATE price_history SET valid_until = NEW.updated_at
            WHERE product_id = NEW.id AND valid_until IS NULL;
            INSERT INTO price_history (product_id, price_cents, valid_from)
            VALUES (NEW.id, NEW.price_cents, NEW.updated_at);
        END
        """
    )
