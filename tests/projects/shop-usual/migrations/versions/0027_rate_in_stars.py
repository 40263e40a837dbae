"""A rating is one to five stars, no longer one to ten points.

Revision ID: 0027
Revises: 0026
Create Date: 2022-05-02
"""
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    # Upwards where there is a half: nobody is to lose a star by our change.
    op.execute("UPDATE reviews SET rating = max(1, min(5, (rating + 1) / 2))")
    with op.batch_alter_table("reviews") as batch:
        batch.create_check_constraint("ck_reviews_rating", "rating BETWEEN 1 AND 5")
