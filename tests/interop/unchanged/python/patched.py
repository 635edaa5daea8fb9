"""A function that gevent patches first."""

from gevent import monkey

monkey.patch_all()

from shop import handler  # noqa: E402, F401
