"""How many examples hypothesis draws: few in the ordinary run, many in a sweep."""

from hypothesis import settings

settings.register_profile("ordinary", max_examples=40, deadline=None)
settings.register_profile("sweep", max_examples=400, deadline=None)


def pytest_configure(config):
    settings.load_profile("ordinary" if config.option.markexpr == "not sweep" else "sweep")
