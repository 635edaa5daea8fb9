"""Changes OpenTelemetry's instrumentations of databases where a function would get other results, no spans, or two for one
statement.
"""

import functools

from lambda_otlp_load import layer_module
from lambda_otlp_variables import disabled_instrumentations

# Drivers with an instrumentation of the layer, by their names in SQLAlchemy.
DRIVERS = {"asyncpg": "asyncpg", "psycopg": "psycopg", "psycopg2": "psycopg2", "psycopg_async": "psycopg", "pymysql": "pymysql"}


def mend_psycopg(module):
    """Traces the cursors that the function's own class of connections makes, also those on the server.

    OpenTelemetry's instrumentation replaces them by cursors of psycopg's own class.
    """
    of_cursors = ("cursor_factory", "server_cursor_factory")

    def instrumented(integration, connection, new_factory):
        for name in of_cursors:
            setattr(connection, name, new_factory(db_api=integration, base_factory=getattr(connection, name)))
        integration.get_connection_attributes(connection)
        return connection

    def wrapped_connection(self, connect_method, args, kwargs):
        return instrumented(self, connect_method(*args, **kwargs), module._new_cursor_factory)

    async def wrapped_async_connection(self, connect_method, args, kwargs):
        return instrumented(self, await connect_method(*args, **kwargs), module._new_cursor_async_factory)

    module.DatabaseApiIntegration.wrapped_connection = wrapped_connection
    module.DatabaseApiAsyncIntegration.wrapped_connection = wrapped_async_connection


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
        traced = functools.cache(lambda base: named_as(base, module._new_cursor_factory(db_api=integration, base_factory=base)))

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

    def named_as(base, kind):
        for name in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(kind, name, getattr(base, name))
        return kind

    module.DatabaseApiIntegration.wrapped_connection = wrapped_connection


def mend_sqlalchemy(module):
    """Leaves a statement to its driver's instrumentation if there is one. A connection taken from the pool is no call."""
    new_tracer = module.EngineTracer
    disabled = disabled_instrumentations()
    instrumented = {driver for driver, name in DRIVERS.items() if name not in disabled}

    def tracer_unless_instrumented(tracer, engine, *arguments, **named):
        return None if engine.driver in instrumented else new_tracer(tracer, engine, *arguments, **named)

    module.EngineTracer = tracer_unless_instrumented
    module._wrap_connect = lambda tracer: lambda wrapped, instance, arguments, named: wrapped(*arguments, **named)


def mend_requirement_of_sqlalchemy(module):
    """Admits SQLAlchemy 2.1, with which OpenTelemetry's instrumentation works too."""
    module._instruments = ("sqlalchemy >= 1.0.0, < 3",)


def mend_asyncpg(module):
    """Gives no span to a row that a cursor has already fetched."""
    kind = module.AsyncPGInstrumentor
    execute = kind._do_cursor_execute

    async def execute_unless_fetched(self, wrapped, instance, arguments, named):
        if wrapped.__name__ == "__anext__" and (getattr(instance, "_buffer", None) or getattr(instance, "_exhausted", False)):
            return await wrapped(*arguments, **named)
        return await execute(self, wrapped, instance, arguments, named)

    kind._do_cursor_execute = execute_unless_fetched


def mend_aiohttp(module):
    module.inject = layer_module("lambda_otlp_mends").inject_unless_own(module.inject)


MENDS = {
    "aiohttp_client": mend_aiohttp,
    "asyncpg": mend_asyncpg,
    "psycopg": mend_psycopg,
    "psycopg2": mend_psycopg2,
    "sqlalchemy.engine": mend_sqlalchemy,
    "sqlalchemy.package": mend_requirement_of_sqlalchemy,
}
