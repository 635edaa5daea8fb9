"""Calls databases without OpenTelemetry code. Each action of an event is a function of this module."""

import asyncio
import io
import os
import warnings

import asyncpg
import psycopg
import psycopg.sql
import psycopg2
import psycopg2.extras
import psycopg2.sql
import pymongo
import pymysql
import redis
import sqlalchemy
import sqlalchemy.ext.asyncio
from psycopg_pool import ConnectionPool

POSTGRESQL = {"host": "127.0.0.1", "port": int(os.environ["POSTGRESQL"]), "user": "shop", "password": "geheim", "dbname": "shop"}
MARIADB = {"host": "127.0.0.1", "port": int(os.environ["MARIADB"]), "user": "shop", "password": "geheim", "database": "shop"}
# The test looks for these in the telemetry.
NAME = "geheim-1"
OTHER = "geheim-2"


def psycopg_transaction():
    with psycopg.connect(**POSTGRESQL) as connection:
        connection.execute("DROP TABLE IF EXISTS users")
        connection.execute("CREATE TABLE users (name text PRIMARY KEY, n int NOT NULL)")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO users VALUES (%s, %s)", [(NAME, 7), (OTHER, 8)])
            return cursor.execute(f"SELECT n FROM users WHERE name = '{NAME}' -- {NAME}").fetchall()


def psycopg_failed():
    with psycopg.connect(**POSTGRESQL) as connection:
        connection.execute(f"INSERT INTO users VALUES ('{NAME}', 7)")


def psycopg_null():
    with psycopg.connect(**POSTGRESQL) as connection:
        connection.execute(f"INSERT INTO users VALUES ('{NAME}3', NULL)")


def psycopg_wrong():
    with psycopg.connect(**POSTGRESQL) as connection:
        connection.execute(f"SELECT n FROM users WHERE '{NAME}' = ")


def psycopg_pool():
    with ConnectionPool(kwargs=POSTGRESQL, min_size=1) as pool, pool.connection() as connection:
        return connection.execute("SELECT count(*) FROM users AS a JOIN users AS b USING (name)").fetchall()


def psycopg_server_cursor():
    with psycopg.connect(**POSTGRESQL) as connection, connection.cursor("named") as cursor:
        return cursor.execute("SELECT n FROM users ORDER BY n").fetchall()


def psycopg_client_cursor():
    with psycopg.connect(**POSTGRESQL) as connection:
        cursor = psycopg.ClientCursor(connection)
        return [type(cursor).__name__, cursor.execute("SELECT n FROM users WHERE name = %s", [NAME]).fetchall()]


def psycopg_copy():
    with psycopg.connect(**POSTGRESQL) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY users FROM STDIN") as copy:
            copy.write_row((f"{NAME}-copied", 1))
        with cursor.copy(f"COPY (SELECT n FROM users WHERE name = '{NAME}-copied') TO STDOUT") as copy:
            return list(copy.rows())


def psycopg_copy_failed():
    with psycopg.connect(**POSTGRESQL) as connection, connection.cursor() as cursor, cursor.copy("COPY users FROM STDIN") as copy:
        copy.write_row((NAME, 1))


def psycopg_stream():
    with psycopg.connect(**POSTGRESQL) as connection:
        found = list(connection.cursor().stream("SELECT n FROM users WHERE name = %s", [NAME]))
        for row in connection.cursor().stream("SELECT generate_series(1, 5)"):
            # The function leaves the stream, and its own statements are beside it.
            return found, row


async def psycopg_copy_async():
    async with await psycopg.AsyncConnection.connect(**POSTGRESQL) as connection:
        async with connection.cursor() as cursor, cursor.copy("COPY (SELECT 1) TO STDOUT") as copy:
            found = [row async for row in copy.rows()]
        return found, [row async for row in connection.cursor().stream("SELECT n FROM users WHERE name = %s", [NAME])]


def psycopg_own_connection():
    class Connection(psycopg.Connection):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            self.cursor_factory = psycopg.ClientCursor

    with Connection.connect(**POSTGRESQL) as connection, connection.cursor() as cursor:
        return isinstance(cursor, psycopg.ClientCursor), cursor.execute("SELECT n FROM users WHERE name = %s", [NAME]).fetchall()


async def psycopg_async():
    async with await psycopg.AsyncConnection.connect(**POSTGRESQL) as connection:
        return await (await connection.execute(psycopg.sql.SQL("SELECT n FROM users WHERE name = {}").format(NAME))).fetchall()


def psycopg2_values():
    with psycopg2.connect(**POSTGRESQL) as connection, connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, "INSERT INTO users VALUES %s ON CONFLICT DO NOTHING", [(NAME, 1), (OTHER, 2)])
        cursor.execute("SELECT n FROM users WHERE name = %s", [NAME])
        return cursor.fetchall()


def psycopg2_dictionaries():
    with psycopg2.connect(**POSTGRESQL) as connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        cursor.execute("SELECT n FROM users ORDER BY n")
        return cursor.fetchall(), type(cursor).__name__, type(connection).__name__


def psycopg2_connection_of_dictionaries():
    with (
        psycopg2.connect(**POSTGRESQL, connection_factory=psycopg2.extras.RealDictConnection) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT n FROM users ORDER BY n")
        return cursor.fetchall(), type(cursor).__name__, type(connection).__name__


def psycopg2_copy():
    with psycopg2.connect(**POSTGRESQL) as connection, connection.cursor() as cursor:
        file = io.StringIO()
        cursor.copy_expert(f"COPY (SELECT n FROM users WHERE name = '{NAME}') TO STDOUT", file)
        return file.getvalue()


def psycopg2_failed():
    with psycopg2.connect(**POSTGRESQL, cursor_factory=psycopg2.extras.DictCursor) as connection, connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO users VALUES ('{NAME}', 7)")


async def asyncpg_transaction():
    connection = await asyncpg.connect(host="127.0.0.1", port=POSTGRESQL["port"], user="shop", password="geheim", database="shop")
    async with connection.transaction():
        await connection.execute(f"UPDATE users SET n = 9 WHERE name = '{NAME}'")
        statement = await connection.prepare("SELECT n FROM users WHERE name = $1")
        rows = [row["n"] async for row in connection.cursor("SELECT n FROM generate_series(1, 60) AS n")]
        found = await statement.fetchval(NAME), len(rows)
    await connection.close()
    return found


async def asyncpg_keywords():
    connection = await asyncpg.connect(host="127.0.0.1", port=POSTGRESQL["port"], user="shop", password="geheim", database="shop")
    try:
        found = [await connection.fetchval(query="SELECT 1"), await connection.execute(query="SELECT 1")]
        return [*found, len(await connection.fetch(query="SELECT 1"))]
    finally:
        await connection.close()


def pymysql_transaction():
    connection = pymysql.connect(**MARIADB, cursorclass=pymysql.cursors.DictCursor)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS orders")
        cursor.execute("CREATE TABLE orders (id int PRIMARY KEY, note varchar(20))")
        cursor.execute("INSERT INTO orders VALUES (%s, %s)", [1, NAME])
        connection.commit()
        cursor.execute(f"SELECT * FROM `orders` WHERE note = \"{NAME}\" OR note = 'it\\'s {NAME}'")
        return cursor.fetchall(), isinstance(cursor, pymysql.cursors.DictCursor)


def pymysql_failed():
    with pymysql.connect(**MARIADB) as connection, connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO orders VALUES (1, '{NAME}')")


def redis_commands():
    client = redis.Redis(port=int(os.environ["REDIS"]), password="geheim")
    client.set(NAME, OTHER)
    pipeline = client.pipeline()
    pipeline.get(NAME)
    pipeline.delete(NAME)
    return pipeline.execute(), client.execute_command("AUTH", "geheim")


def redis_bytes():
    client = redis.Redis(port=int(os.environ["REDIS"]), password="geheim")
    pipeline = client.pipeline()
    return len(pipeline.execute_command(b"GET", "k").execute())


def redis_failed():
    redis.Redis(port=int(os.environ["REDIS"]), password="geheim").execute_command("BOGUS", NAME)


async def redis_async():
    async with redis.asyncio.Redis(port=int(os.environ["REDIS"]), password="geheim") as client:
        return await client.get(NAME)


def pymongo_commands():
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{os.environ['MONGODB']}") as client:
        users = client.shop.users
        users.insert_one({"_id": 1, "name": NAME})
        return list(users.find({"name": NAME}))


def pymongo_failed():
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{os.environ['MONGODB']}") as client:
        client.shop.failed.find_one({"name": NAME})


def sqlalchemy_statements(url):
    engine = sqlalchemy.create_engine(url)
    notes = sqlalchemy.Table(
        "notes",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("id", sqlalchemy.Integer),
        sqlalchemy.Column("note", sqlalchemy.String(20)),
    )
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("DROP TABLE IF EXISTS notes"))
        connection.execute(sqlalchemy.text("CREATE TABLE notes (id int, note varchar(20))"))
        connection.execute(notes.insert(), [{"id": 1, "note": NAME}, {"id": 2, "note": OTHER}])
        return connection.execute(sqlalchemy.select(notes.c.id).where(notes.c.note == NAME)).fetchall()


def url(driver):
    server = MARIADB if "pymysql" in driver else POSTGRESQL
    return f"{driver}://shop:geheim@127.0.0.1:{server['port']}/shop"


def sqlalchemy_psycopg():
    return sqlalchemy_statements(url("postgresql+psycopg"))


def sqlalchemy_psycopg2():
    return sqlalchemy_statements(url("postgresql+psycopg2"))


def sqlalchemy_pymysql():
    return sqlalchemy_statements(url("mysql+pymysql"))


def sqlalchemy_pg8000():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with sqlalchemy.create_engine(url("postgresql+pg8000")).connect() as connection:
            return connection.execute(sqlalchemy.text("SELECT n FROM users ORDER BY n")).scalar()


def sqlalchemy_sqlite():
    return sqlalchemy_statements("sqlite://")


async def sqlalchemy_asyncpg():
    engine = sqlalchemy.ext.asyncio.create_async_engine(url("postgresql+asyncpg"))
    async with engine.connect() as connection:
        found = (await connection.execute(sqlalchemy.text(f"SELECT n FROM users WHERE name = '{NAME}'"))).fetchall()
    await engine.dispose()
    return found


def psycopg_slow():
    with psycopg.connect(**POSTGRESQL) as connection:
        connection.execute(f"SELECT pg_sleep(60), '{NAME}'")


def handler(event, context):
    action = globals()[event["action"]]
    try:
        result = action()
        return repr(asyncio.run(result) if asyncio.iscoroutine(result) else result)
    except Exception as error:
        return f"{type(error).__module__}.{type(error).__name__}: {error}"
