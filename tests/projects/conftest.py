"""The projects are run as what they are, each by its own nox, not as part of this suite."""

collect_ignore = ["shop", "shop-usual"]
