"""The stranger's own tests run in an environment where the stranger's distribution is installed."""

collect_ignore = ["distribution"]
