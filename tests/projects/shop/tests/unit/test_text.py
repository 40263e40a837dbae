import pytest

from shop.cli import quantities
from shop.errors import InvalidInput
from shop.text import format_cents, normal_email, slugify


@pytest.mark.parametrize(
    "cents, text", [(0, "0.00"), (5, "0.05"), (123456, "1234.56"), (-250, "-2.50")]
)
def test_money(cents, text):
    assert format_cents(cents) == text


@pytest.mark.parametrize(
    "text, slug",
    [
        ("Red mug", "red-mug"),
        ("  Chef's knife, 20 cm ", "chef-s-knife-20-cm"),
        ("Crème brûlée", "creme-brulee"),
        ("!?", ""),
    ],
)
def test_slugs(text, slug):
    assert slugify(text) == slug


def test_emails_are_lowered_and_trimmed():
    assert normal_email(" Ada@Example.COM ") == "ada@example.com"


@pytest.mark.parametrize("text", ["", "ada", "ada@", "ada@example", "a b@example.com"])
def test_what_is_not_an_email(text):
    with pytest.raises(InvalidInput):
        normal_email(text)


def test_quantities_on_the_command_line():
    assert quantities(["MUG-RED", "APRON:2", "MUG-RED:3"]) == {"MUG-RED": 4, "APRON": 2}
    with pytest.raises(InvalidInput, match="MUG-RED:two"):
        quantities(["MUG-RED:two"])
