"""Bounds the flush at the end of an invocation."""

import os

from lambda_otlp_load import layer_module, say, time
from lambda_otlp_variables import seconds

Background = layer_module("lambda_otlp_threads").Background

# Longest wait of an invocation for its flush, as a share of the export timeout. The wait ends before an export times out.
LONGEST_FLUSH = 0.9

# Upper limit of that timeout, in seconds. The specification's unit is milliseconds, so `10000` may mean 10 seconds.
MAX_TIMEOUT = 10

# Wait after a failed flush, in seconds. It is long enough to notice that the extension accepts exports again.
SHORTEST_FLUSH = 0.01

# Time reserved for the response before an invocation's deadline, in seconds.
RESPONSE = 0.05


class Limits:
    """The latest start of a flush, and the end of the wait for it."""

    def __init__(self, latest_start, wait_until):
        self.latest_start = latest_start
        self.wait_until = wait_until


class BoundedFlush:
    """Flushes one provider in a thread, and stops waiting for it at the deadline."""

    def __init__(self, current):
        # The `CurrentInvocation` (lambda_otlp_wrap.py).
        self.current = current
        timeout = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT") or os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT")
        self.longest = min(seconds(timeout) or 1, MAX_TIMEOUT) * LONGEST_FLUSH
        # `False` after a flush that failed or ended too late, until one is accepted in time.
        self.is_in_time = True
        # The thread of the latest flush.
        self.thread = None
        # Numbers of exports.
        self.accepted = 0
        self.refused = 0

    def note(self, is_accepted):
        if is_accepted:
            self.accepted += 1
        else:
            self.refused += 1

    def flush(self, flush, *arguments, **named):
        if not self.current.is_ending():
            # The function itself flushes, with its own timeout.
            return flush(*arguments, **named)
        limits = self.limits(time.monotonic())
        # At most one flush runs at a time. If there is no time for this one, the next invocation flushes the rest.
        if not self.wait_for_latest(limits.wait_until) or time.monotonic() >= limits.latest_start:
            self.is_in_time = False
            return False
        self.thread = Background(lambda: self.run(flush, arguments, named))
        if not self.wait_for_latest(limits.wait_until):
            self.is_in_time = False
            return False
        return True

    def wait_for_latest(self, until):
        """Waits for the latest flush until this time. Returns `True` if it has ended."""
        if self.thread is None:
            return True
        self.thread.join(max(0, until - time.monotonic()))
        return not self.thread.is_alive()

    def deliver_to(self, provider):
        """Returns a flush for a provider that stops by itself at the deadline."""

        def flush():
            was_in_time = self.is_in_time
            self.is_in_time = provider.flush(self.limits(time.monotonic()).wait_until)
            if was_in_time and not self.is_in_time:
                say(
                    f"info: {provider.unsent + len(provider.waiting)} spans wait for a later invocation, "
                    "because the extension has not accepted them in time"
                )

        return flush

    def run(self, flush, arguments, named):
        begun = time.monotonic()
        accepted = self.accepted
        refused = self.refused
        try:
            flush(*arguments, **named)
        except Exception as error:
            self.refused += 1
            say(f"cannot export the invocation's telemetry: {error!r}")
        if self.refused > refused:
            # This includes an immediate failure, because the next attempt may use its whole timeout.
            self.is_in_time = False
        elif self.accepted > accepted or self.accepted + self.refused == 0:
            # A custom exporter reports no result. Only the duration of the flush is known.
            self.is_in_time = time.monotonic() - begun < self.longest

    def limits(self, now):
        """Returns the limits of a flush that begins now."""
        if self.current.flushes_begun is None:
            self.current.flushes_begun = now
        begun = self.current.flushes_begun
        latest = begun + self.longest
        try:
            latest = min(latest, now + self.current.context.get_remaining_time_in_millis() / 1000 - RESPONSE)
        except Exception:
            # A context without a remaining time has no deadline.
            pass
        wait_until = latest if self.is_in_time else min(latest, begun + SHORTEST_FLUSH)
        return Limits(latest_start=latest, wait_until=wait_until)
