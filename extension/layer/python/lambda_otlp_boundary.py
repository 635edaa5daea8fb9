"""The boundary between the function's calls and the instrumentations that enter them.

Whatever an instrumentation raises, the function's call runs once, with the function's arguments, and the function gets its result
or its exception. The first failure of an instrumentation in an environment is a line in the function's log.

An instrumentation enters a call by a wrapper (`guard`, which OpenTelemetry's packages get as wrapt's `wrap_function_wrapper`),
by a function in the place of another one (`guard_replacement`), by a method that gets the call (`guard_method`), as a listener
(`guard_listener`), or by reading an iterator (`guard_iterator`). Interrupts such as `KeyboardInterrupt` pass: they are not the
instrumentation's.
"""

import functools
import sys
from contextvars import ContextVar
from types import AsyncGeneratorType, CoroutineType, GeneratorType, MethodType

from lambda_otlp_load import layer_module, say

# The instrumentations that have failed in this environment.
failed = set()
INSTRUMENTATIONS = "opentelemetry.instrumentation."
# Number of characters of an error that are logged.
MAX_MESSAGE = 512
# Results of a wrapper that run the call later.
LATER = (AsyncGeneratorType, CoroutineType, GeneratorType)


def report(name, error):
    """Logs the first failure of an instrumentation."""
    if name in failed:
        return
    failed.add(name)
    try:
        described = layer_module("lambda_otlp_secrets").mask(" ".join(f"{type(error).__name__}: {error}".split())[:MAX_MESSAGE])
    except Exception:
        # An error may have no text.
        described = type(error).__name__
    say(f"the instrumentation {name} failed in a call, which went on without it: {described}; its next failures are not logged")


class Call:
    """The function's call in the hands of an instrumentation. It runs once, and remembers its outcome."""

    __slots__ = ("original", "has_run", "value", "error", "awaited")

    def __init__(self, original):
        self.original = original
        self.has_run = False
        self.value = None
        self.error = None
        # The call as a coroutine, while its outcome is open.
        self.awaited = None

    def __call__(self, /, *arguments, **named):
        if self.has_run:
            return self.outcome()
        self.has_run = True
        try:
            value = self.original(*arguments, **named)
        except BaseException as error:
            self.error = error
            raise
        # A call within another boundary is awaited, too.
        if type(value) in (CoroutineType, Awaited):
            self.awaited = value
            value = Awaited(self)
        self.value = value
        return value

    def __getattr__(self, name):
        return getattr(self.original, name)

    def take(self, error):
        """Returns `True` if this error must reach the function: the call raised it, or it is an interrupt."""
        is_own = error is self.error
        if is_own or not isinstance(error, Exception):
            # The error refers to frames that refer to this call.
            self.error = None
            return True
        return False

    def outcome(self):
        """Returns the result of a call that has run, or raises its exception."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error
        return self.awaited if self.awaited is not None else self.value

    def complete(self, arguments, named):
        """Returns the outcome of the call, which runs now if it has not."""
        return self.outcome() if self.has_run else self.original(*arguments, **named)


class Awaited:
    """The coroutine of a call, which an instrumentation awaits."""

    __slots__ = ("call",)

    def __init__(self, call):
        self.call = call

    def __await__(self):
        call = self.call
        try:
            value = yield from call.awaited.__await__()
        except BaseException as error:
            call.awaited = None
            # It is this object, which refers to the call.
            call.value = None
            call.error = error
            raise
        call.awaited = None
        call.value = value
        return value


def run(name, wrapper, original, instance, arguments, named):
    """Runs a call through the wrapper of an instrumentation."""
    call = Call(original)
    try:
        result = wrapper(call, instance, arguments, {**named} if named else named)
    except BaseException as error:
        if call.take(error):
            raise
        report(name, error)
    else:
        if call.error is None:
            if call.has_run:
                return call.awaited if type(result) is Awaited else result
            if type(result) is CoroutineType:
                return finish(name, result, call, arguments, named)
            if type(result) in LATER:
                return result
    return call.complete(arguments, named)


async def finish(name, coroutine, call, arguments, named):
    """Awaits the coroutine of a wrapper."""
    try:
        result = await coroutine
    except BaseException as error:
        if call.take(error):
            raise
        report(name, error)
    else:
        if call.error is None and call.has_run and call.awaited is None:
            return result
    result = call.complete(arguments, named)
    return await result if type(result) in (CoroutineType, Awaited) else result


def guard(wrapper, name):
    """Returns a wrapper for wrapt, inside of which the instrumentation's own runs."""

    def guarded(original, instance, arguments, named):
        return run(name, wrapper, original, instance, arguments, named)

    return guarded


def wrap_function_wrapper(module, name, wrapper, instrumentation=None):
    """Takes the place of wrapt's function in the layer's packages."""
    return wrapt.wrap_object(module, name, wrapt.FunctionWrapper, (guard(wrapper, instrumentation or calling_instrumentation()),))


# The layer's copy of wrapt, after `guard_wrappers`.
wrapt = None


def guard_wrappers(module):
    """Gives the layer's packages guarded wrappers."""
    global wrapt
    wrapt = module
    module.wrap_function_wrapper = wrap_function_wrapper


def calling_instrumentation():
    """Returns the name of the instrumentation that calls this module."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "").rpartition(INSTRUMENTATIONS)[2]
        if name != frame.f_globals.get("__name__", ""):
            return name.partition(".")[0]
        frame = frame.f_back
    return "unknown"


def guard_replacement(holder, method, instrument, *, name, around):
    """Guards the method that `instrument` puts in the place of another one. `around`, a wrapper for wrapt, calls it."""
    original = getattr(holder, method)
    current = ContextVar(f"lambda_otlp_{name}", default=None)

    @functools.wraps(original)
    def relay(self, *arguments, **named):
        call = current.get()
        return original(self, *arguments, **named) if call is None else call(*arguments, **named)

    setattr(holder, method, relay)
    try:
        instrument()
    finally:
        replacement = getattr(holder, method)
        setattr(holder, method, original)
    if replacement is relay:
        return

    def enter(call, instance, arguments, named):
        token = current.set(call)
        try:
            return replacement(instance, *arguments, **named)
        finally:
            current.reset(token)

    def wrapper(call, instance, arguments, named):
        return around(enter, call, instance, arguments, named)

    @functools.wraps(replacement)
    def guarded(self, *arguments, **named):
        return run(name, wrapper, MethodType(original, self), self, arguments, named)

    # The instrumentation restores this function.
    guarded.__wrapped__ = original
    setattr(holder, method, guarded)


def guard_method(kind, method, name):
    """Guards a method that gets an object, the function's call, and its arguments."""
    traced = getattr(kind, method)

    def guarded(self, instance, call, /, *arguments, **named):
        def wrapper(call, instance, arguments, named):
            return traced(self, instance, call, *arguments, **named)

        return run(name, wrapper, call, instance, arguments, named)

    setattr(kind, method, functools.wraps(traced)(guarded))


def guard_listener(listener, name, otherwise=lambda *_: None):
    """Returns a listener that does not fail. `otherwise` has its result after a failure."""
    import inspect

    if inspect.iscoroutinefunction(listener):

        @functools.wraps(listener)
        async def guarded_later(*arguments, **named):
            try:
                return await listener(*arguments, **named)
            except Exception as error:
                report(name, error)
            return otherwise(*arguments)

        return guarded_later

    @functools.wraps(listener)
    def guarded(*arguments, **named):
        try:
            return listener(*arguments, **named)
        except Exception as error:
            report(name, error)
        return otherwise(*arguments)

    return guarded


class Source:
    """The items of an iterator that an instrumentation reads for the function."""

    def __init__(self, iterator):
        self.iterator = iterator
        self.has_ended = False
        self.error = None
        # Items that the function has not got.
        self.waiting = []

    def __iter__(self):
        return self

    def __next__(self):
        try:
            item = next(self.iterator)
        except StopIteration:
            self.has_ended = True
            raise
        except BaseException as error:
            self.error = error
            raise
        self.waiting.append(item)
        return item

    def rest(self):
        """Yields the items that the function has not got."""
        error, self.error = self.error, None
        yield from self.waiting
        if error is not None:
            raise error
        if not self.has_ended:
            yield from self.iterator


def guard_iterator(iterator, read, name):
    """Yields the items of an iterator, which the instrumentation's generator `read` passes on."""
    source = Source(iterator)
    generator = read(source)
    try:
        for item in generator:
            source.waiting.clear()
            yield item
    except Exception as error:
        if error is source.error:
            source.error = None
            raise
        report(name, error)
    finally:
        generator.close()
    yield from source.rest()
