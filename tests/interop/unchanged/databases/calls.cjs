// Calls databases without OpenTelemetry code. Each action of an event is a function of this module.

"use strict";

const { drizzle } = require("drizzle-orm/node-postgres");
const { sql } = require("drizzle-orm");
const { Redis } = require("ioredis");
const knex = require("knex");
const { MongoClient } = require("mongodb");
const mysql = require("mysql2/promise");
const callbacks = require("mysql2");
const pg = require("pg");
const Cursor = require("pg-cursor");
const QueryStream = require("pg-query-stream");
const { createClient } = require("redis");

const { POSTGRESQL, MARIADB, REDIS, MONGODB } = process.env;
const postgresql = { host: "127.0.0.1", port: Number(POSTGRESQL), user: "shop", password: "geheim", database: "shop" };
const mariadb = { host: "127.0.0.1", port: Number(MARIADB), user: "shop", password: "geheim", database: "shop" };
// The test looks for these in the telemetry.
const NAME = "geheim-1";
const OTHER = "geheim-2";

async function withClient(use) {
  const client = new pg.Client(postgresql);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

async function withMysql(use) {
  const connection = await mysql.createConnection(mariadb);
  try {
    return await use(connection);
  } finally {
    await connection.end();
  }
}

async function withRedis(use) {
  const client = createClient({ socket: { port: Number(REDIS), host: "127.0.0.1" }, password: "geheim" });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

async function withMongo(use) {
  const client = new MongoClient(`mongodb://127.0.0.1:${MONGODB}`);
  try {
    return await use(client.db("shop"));
  } finally {
    await client.close();
  }
}

async function withIoredis(use) {
  const client = new Redis({ port: Number(REDIS), host: "127.0.0.1", password: "geheim" });
  try {
    return await use(client);
  } finally {
    client.disconnect();
  }
}

const actions = {
  pg_transaction: () =>
    withClient(async (client) => {
      await client.query("BEGIN");
      await client.query("DROP TABLE IF EXISTS people");
      await client.query("CREATE TABLE people (name text PRIMARY KEY, n int)");
      await client.query("INSERT INTO people VALUES ($1, $2)", [NAME, 7]);
      const found = await client.query({ text: `SELECT n FROM people WHERE name = '${NAME}' -- ${NAME}`, rowMode: "array" });
      await client.query("COMMIT");
      return found.rows;
    }),
  pg_callback: () =>
    withClient(
      (client) =>
        new Promise((resolve, reject) => {
          client.query("SELECT count(*) FROM people AS a JOIN people AS b USING (name)", (error, found) =>
            error ? reject(error) : resolve(found.rows),
          );
        }),
    ),
  pg_failed: () => withClient((client) => client.query(`INSERT INTO people VALUES ('${NAME}', 7)`)),
  pg_wrong: () => withClient((client) => client.query(`SELECT n FROM people WHERE '${NAME}' = `)),
  pg_cursor: () =>
    withClient(async (client) => {
      const cursor = client.query(new Cursor(`SELECT n FROM people WHERE name = '${NAME}'`));
      const found = await cursor.read(1);
      await cursor.close();
      return found;
    }),
  pg_cursor_failed: () => withClient((client) => client.query(new Cursor(`SELECT n FROM people WHERE '${NAME}' = `)).read(1)),
  pg_stream: () => withClient(async (client) => (await client.query(new QueryStream("SELECT n FROM people")).toArray()).length),
  pg_pool: async () => {
    const pool = new pg.Pool(postgresql);
    const found = await Promise.all([pool.query("SELECT n FROM people"), pool.query("SELECT n FROM people")]);
    await pool.end();
    return found.map(({ rows }) => rows);
  },
  knex: async () => {
    const connection = knex({ client: "pg", connection: postgresql });
    const found = await connection("people").where({ name: NAME }).select("n");
    await connection.destroy();
    return found;
  },
  drizzle: () =>
    withClient(async (client) => (await drizzle(client).execute(sql`SELECT n FROM people WHERE name = ${NAME}`)).rows),
  mysql2_transaction: () =>
    withMysql(async (connection) => {
      await connection.beginTransaction();
      await connection.query("DROP TABLE IF EXISTS things");
      await connection.query("CREATE TABLE things (id int PRIMARY KEY, note varchar(20))");
      await connection.execute("INSERT INTO things VALUES (?, ?)", [1, NAME]);
      await connection.commit();
      const [rows] = await connection.query('SELECT * FROM `things` WHERE note = ? OR note = "it\'s geheim-2"', [NAME]);
      return rows;
    }),
  mysql2_failed: () => withMysql((connection) => connection.query(`INSERT INTO things VALUES (1, '${NAME}')`)),
  mysql2_pool: () =>
    new Promise((resolve, reject) => {
      const pool = callbacks.createPool(mariadb);
      pool.query("SELECT id FROM things WHERE note = ?", [NAME], (error, rows) =>
        pool.end(() => (error ? reject(error) : resolve(rows))),
      );
    }),
  redis_commands: () =>
    withRedis(async (client) => {
      await client.set(NAME, OTHER);
      return [await client.get(NAME), await client.multi().get(NAME).del(NAME).exec()];
    }),
  redis_failed: () => withRedis((client) => client.sendCommand(["BOGUS", NAME])),
  ioredis_commands: () =>
    withIoredis(async (client) => {
      await client.set(NAME, OTHER);
      return [await client.get(NAME), await client.pipeline().get(NAME).del(NAME).exec()];
    }),
  ioredis_failed: () => withIoredis((client) => client.call("BOGUS", NAME)),
  mongodb_commands: () =>
    withMongo(async (shop) => {
      await shop.collection("users").insertOne({ _id: 1, name: NAME });
      return shop.collection("users").find({ name: NAME }).toArray();
    }),
  mongodb_failed: () => withMongo((shop) => shop.collection("failed").findOne({ name: NAME })),
  pg_slow: () => withClient((client) => client.query(`SELECT pg_sleep(60), '${NAME}'`)),
};

exports.handler = async ({ action }) => {
  try {
    return await actions[action]();
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};
