"""Changes OpenTelemetry's instrumentations of databases where a function would get other results, no spans, or two for one
statement.
"""

import contextvars
import functools
import sys
import weakref
from types import SimpleNamespace

from lambda_otlp_load import layer_module
from lambda_otlp_variables import disabled_instrumentations

boundary = layer_module("lambda_otlp_boundary")

# Drivers with an instrumentation of the layer, by their names in SQLAlchemy.
DRIVERS = {"asyncpg": "asyncpg", "psycopg": "psycopg", "psycopg2": "psycopg2", "psycopg_async": "psycopg", "pymysql": "pymysql"}


def mend_psycopg(module):
    """Traces the statements of all cursors, also of those that the function makes itself, such as `ClientCursor(connection)`.

    OpenTelemetry's instrumentation traces the cursors that a connection makes, and replaces their class.
    """
    import psycopg

    kinds = {
        psycopg.Connection: (psycopg.Cursor, psycopg.ServerCursor),
        psycopg.AsyncConnection: (psycopg.AsyncCursor, psycopg.AsyncServerCursor),
    }
    # Wrappers of the cursors' methods, by their names.
    wrappers = dict.fromkeys(("execute", "executemany", "copy", "stream"))

    def methods_of(holder):
        return [(kind, each) for kind in kinds.get(holder, ()) for each in wrappers if each in vars(kind)]

    def wrap_connect(name, holder, method, system, attributes, **options):
        options.pop("db_api_integration_factory", None)
        # Connections with the descriptions of their servers.
        described = weakref.WeakKeyDictionary()

        def describe(connection):
            if connection not in described:
                described[connection] = dbapi.DatabaseApiIntegration(name, system, attributes, **options)
                described[connection].get_connection_attributes(connection)
            return described[connection]

        def traced(call, cursor, arguments, named):
            tracer = module.CursorTracer(describe(cursor.connection))
            execution = tracer.traced_execution_async if isinstance(cursor, psycopg.AsyncCursor) else tracer.traced_execution
            return execution(cursor, call, *arguments, **named)

        def copying(call, cursor, arguments, named):
            return Copying(call(*arguments, **named), opened(cursor, arguments or [named["statement"]]))

        def streaming(call, cursor, arguments, named):
            return streamed(call(*arguments, **named), opened(cursor, arguments or [named["query"]]))

        def opened(cursor, arguments):
            execution = module.CursorTracer(describe(cursor.connection)).traced_execution_async
            return functools.partial(OpenSpan, execution, cursor, arguments)

        wrappers.update(execute=traced, executemany=traced, copy=copying, stream=streaming)
        for kind, each in methods_of(holder):
            boundary.wrap_function_wrapper(kind, each, wrappers[each], "psycopg")

    def unwrap_connect(holder, method):
        for kind, each in methods_of(holder):
            setattr(kind, each, getattr(vars(kind)[each], "__wrapped__", vars(kind)[each]))

    dbapi = module.dbapi
    module.dbapi = SimpleNamespace(wrap_connect=wrap_connect, unwrap_connect=unwrap_connect)


class Suspension:
    """Suspends a coroutine until its next value."""

    def __await__(self):
        yield


class OpenSpan:
    """The span of a statement whose rows the function reads or writes later. It is not the function's current span.

    The instrumentation has a coroutine around a statement, which stays suspended until the end.
    """

    def __init__(self, execution, cursor, arguments):
        async def wait(*_, **__):
            await Suspension()

        self.context = contextvars.copy_context()
        self.coroutine = execution(cursor, wait, *arguments)
        self.context.run(self.coroutine.send, None)

    def end(self, error=None):
        frames = error and error.__traceback__
        try:
            if error is None or isinstance(error, GeneratorExit):
                self.context.run(self.coroutine.send, None)
            else:
                self.context.run(self.coroutine.throw, error)
        except BaseException:
            # The coroutine has ended. Its frames are no part of the function's error.
            if error is not None:
                error.__traceback__ = frames


class Spanned:
    """Begins and ends a span without failing the function's call."""

    def __init__(self, open_span):
        try:
            self.span = open_span()
        except Exception as error:
            boundary.report("psycopg", error)
            self.span = None

    def end(self, error=None):
        if self.span is not None:
            self.span.end(error)
            self.span = None


class Copying:
    """The context manager of a cursor's `copy`, with a span from its beginning to its end."""

    def __init__(self, manager, open_span):
        self.manager = manager
        self.open_span = open_span

    def __getattr__(self, name):
        return getattr(self.manager, name)

    def __enter__(self):
        self.span = Spanned(self.open_span)
        try:
            return self.manager.__enter__()
        except BaseException as error:
            self.span.end(error)
            raise

    def __exit__(self, kind, error, frames):
        try:
            return self.manager.__exit__(kind, error, frames)
        except BaseException as raised:
            self.span.end(raised)
            raise
        finally:
            self.span.end(error)

    async def __aenter__(self):
        self.span = Spanned(self.open_span)
        try:
            return await self.manager.__aenter__()
        except BaseException as error:
            self.span.end(error)
            raise

    async def __aexit__(self, kind, error, frames):
        try:
            return await self.manager.__aexit__(kind, error, frames)
        except BaseException as raised:
            self.span.end(raised)
            raise
        finally:
            self.span.end(error)


def streamed(rows, open_span):
    """Returns the generator of a cursor's rows, with a span from its beginning to its end."""

    def sync():
        span = Spanned(open_span)
        try:
            yield from rows
        except BaseException as error:
            span.end(error)
            raise
        span.end()

    async def later():
        span = Spanned(open_span)
        try:
            async for row in rows:
                yield row
        except BaseException as error:
            span.end(error)
            raise
        finally:
            await rows.aclose()
        span.end()

    return later() if hasattr(rows, "__anext__") else sync()


def mend_psycopg2(module):
    """Traces cursors of every class.

    OpenTelemetry's instrumentation leaves out the cursors that `connection.cursor(cursor_factory=RealDictCursor)` makes, and
    replaces those of `RealDictConnection` by others, whose rows are tuples.
    """
    from psycopg2.extensions import connection as base_connection

    def wrapped_connection(self, connect_method, args, kwargs):
        arguments = dict(zip(("dsn", "connection_factory", "cursor_factory"), args), **kwargs)
        factory = arguments.get("connection_factory") or base_connection
        if isinstance(factory, type) and issubclass(factory, base_connection):
            arguments["connection_factory"] = traced_connections(self, factory)
        connection = connect_method(**arguments)
        self.get_connection_attributes(connection)
        return connection

    def traced_connections(integration, factory):
        traced = functools.cache(lambda base: named_as(base, with_copies(integration, base)))

        class Innermost(base_connection):
            """Comes after the function's class in the order of methods, so it sees the class of cursors that the function's class
            chooses.
            """

            def cursor(self, name=None, cursor_factory=None, *others, **named):
                base = cursor_factory or self.cursor_factory or module.pg_cursor
                return super().cursor(name, traced(base) if isinstance(base, type) else base, *others, **named)

        if factory is base_connection:
            return named_as(factory, Innermost)
        return named_as(factory, type(factory.__name__, (factory, Innermost), {}))

    def with_copies(integration, base):
        tracer = module.CursorTracer(integration)

        class Traced(module._new_cursor_factory(db_api=integration, base_factory=base)):
            def copy_expert(self, *arguments, **named):
                return tracer.traced_execution(self, super().copy_expert, *arguments, **named)

        return Traced

    def named_as(base, kind):
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(kind, name, getattr(base, name))
        return kind

    module.DatabaseApiIntegration.wrapped_connection = wrapped_connection


class QuietCursor:
    """A cursor with the attribute that SQLAlchemy's instrumentation reads. PEP 249 lets a driver warn when its own is read."""

    def __init__(self, connection):
        self.connection = connection


def mend_sqlalchemy_engine(module):
    """Guards the listeners, and leaves a statement to its driver's instrumentation if there is one."""
    new_tracer = module.EngineTracer
    add = module.listen
    remove = module.remove
    disabled = disabled_instrumentations()
    instrumented = {driver for driver, name in DRIVERS.items() if name not in disabled}
    # The listeners of engines, by their identifiers.
    listeners = weakref.WeakKeyDictionary()

    def with_quiet_cursor(listener):
        def before_cursor_execute(connection, cursor, *others):
            pooled = connection.connection
            # SQLAlchemy 1.3 has the other name.
            of_driver = getattr(pooled, "dbapi_connection", None) or getattr(pooled, "connection", None)
            return listener(connection, QuietCursor(of_driver), *others)

        return before_cursor_execute

    def listen(engine, identifier, listener, *arguments, **named):
        if identifier == "before_cursor_execute":
            listener = with_quiet_cursor(listener)
        # A listener may return another statement and its parameters.
        otherwise = (lambda *arguments: arguments[2:4]) if named.get("retval") else lambda *_: None
        guarded = boundary.guard_listener(listener, "sqlalchemy", otherwise)
        listeners.setdefault(engine, {})[identifier] = guarded
        add(engine, identifier, guarded, *arguments, **named)

    def tracer_unless_instrumented(tracer, engine, *arguments, **named):
        return None if engine.driver in instrumented else new_tracer(tracer, engine, *arguments, **named)

    module.listen = listen
    module.remove = lambda engine, identifier, _: remove(engine, identifier, listeners[engine][identifier])
    tracer_unless_instrumented.remove_all_event_listeners = new_tracer.remove_all_event_listeners
    module.EngineTracer = tracer_unless_instrumented


def mend_sqlalchemy(module):
    """Admits SQLAlchemy 2.1, with which OpenTelemetry's instrumentation works too. A connection from the pool is no call."""
    wrap = module._w

    def wrap_engines(holder, name, wrapper):
        # The asyncio module makes its engines by the function that is wrapped already, unless it is older than the wrapper. Its
        # import takes long, and needs greenlet.
        if name != "Engine.connect" and (holder != "sqlalchemy.ext.asyncio" or holder in sys.modules):
            wrap(holder, name, wrapper)

    module._w = wrap_engines
    module.SQLAlchemyInstrumentor.instrumentation_dependencies = lambda self: ("sqlalchemy >= 1.0.0, < 3",)


def mend_asyncpg(module):
    """Gives no span to a row that a cursor has already fetched. Names of arguments are as good as their places."""
    wrap = module.wrapt.wrap_function_wrapper
    # The methods of a connection with the names of their first arguments.
    statements = {"execute": "query", "executemany": "command", "fetch": "query", "fetchrow": "query", "fetchval": "query"}

    def unless_fetched(wrapper):
        async def wrapped(call, iterator, arguments, named):
            # asyncpg has no public names for the state of an iterator.
            if getattr(iterator, "_buffer", None) or getattr(iterator, "_exhausted", False):
                return await call(*arguments, **named)
            return await wrapper(call, iterator, arguments, named)

        return wrapped

    def with_statement_first(wrapper, name):
        def wrapped(call, connection, arguments, named):
            if not arguments and name in named:
                arguments = (named.pop(name),)
            return wrapper(call, connection, arguments, named)

        return wrapped

    def wrap_function_wrapper(holder, name, wrapper):
        kind, _, method = name.partition(".")
        if kind == "CursorIterator":
            wrapper = unless_fetched(wrapper)
        if kind == "Connection" and method in statements:
            wrapper = with_statement_first(wrapper, statements[method])
        wrap(holder, name, wrapper)

    module.wrapt = SimpleNamespace(wrap_function_wrapper=wrap_function_wrapper)


def mend_dbapi(module):
    for method in ("traced_execution", "traced_execution_async"):
        setattr(module.CursorTracer, method, unless_it_connects(getattr(module.CursorTracer, method)))
        boundary.guard_method(module.CursorTracer, method, "dbapi")


def unless_it_connects(traced):
    """Gives no span to the statement with which drivers set the encoding of a connection."""

    @functools.wraps(traced)
    def execute(self, cursor, call, *arguments, **named):
        statement = arguments[0] if arguments else ""
        if isinstance(statement, str) and statement[:9].upper() == "SET NAMES":
            return call(*arguments, **named)
        return traced(self, cursor, call, *arguments, **named)

    return execute


def mend_pymongo(module):
    class Tracer(module.CommandTracer):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            hook = self.failed_hook

            def failed_hook(span, event):
                if "code" in event.failure:
                    span.set_attribute("db.response.status_code", str(event.failure["code"]))
                hook(span, event)

            self.failed_hook = failed_hook

    module.CommandTracer = Tracer
    for method in ("started", "succeeded", "failed"):
        listener = getattr(module.CommandTracer, method)
        setattr(module.CommandTracer, method, boundary.guard_listener(listener, "pymongo"))


MENDS = {
    "asyncpg": mend_asyncpg,
    "dbapi": mend_dbapi,
    "psycopg": mend_psycopg,
    "psycopg2": mend_psycopg2,
    "pymongo": mend_pymongo,
    "sqlalchemy": mend_sqlalchemy,
    "sqlalchemy.engine": mend_sqlalchemy_engine,
}
