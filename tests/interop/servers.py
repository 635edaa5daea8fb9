"""Starts database servers for tests: PostgreSQL, MariaDB and Redis from the Debian packages `postgresql`, `mariadb-server` and
`redis-server`, and a stand-in for MongoDB, which Debian does not have.
"""

import glob
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

PACKAGES = {"initdb": "postgresql", "mariadbd": "mariadb-server", "redis-server": "redis-server"}
# More than a start takes on a busy machine, in seconds.
LONGEST_S = 120


def program(name):
    """Returns the path of a server's program. Debian has PostgreSQL's outside of PATH."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    assert found, f"{name} is missing: apt-get install {PACKAGES.get(name, 'postgresql')}"
    return found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def user_for(name):
    """Returns the user that runs the server. PostgreSQL and MariaDB do not start as root."""
    return name if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


class Servers:
    """Servers with the database `shop` of the user `shop`, and the variables that tell their ports to a function."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="lambda-otlp-databases-")
        os.chmod(self.folder, 0o755)
        self.running = []
        self.variables = {}

    def start(self):
        self.variables = {
            "POSTGRESQL": self.postgresql(),
            "MARIADB": self.mariadb(),
            "REDIS": self.redis(),
            "MONGODB": mongodb(),
        }
        return self

    def stop(self):
        for process in self.running:
            # PostgreSQL waits for its clients after SIGTERM.
            process.send_signal(signal.SIGINT if "postgres" in process.args[0] else signal.SIGTERM)
        for process in self.running:
            process.wait(LONGEST_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def folder_of(self, name, user):
        folder = os.path.join(self.folder, name)
        os.mkdir(folder)
        shutil.chown(folder, user)
        return folder

    def run(self, user, command, is_ready):
        """Starts a server, and waits until it accepts this command."""
        log = open(os.path.join(self.folder, f"{os.path.basename(command[0])}.log"), "w")
        self.running.append(
            subprocess.Popen(command, user=user, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder)
        )
        until = time.monotonic() + LONGEST_S
        while (done := subprocess.run(is_ready, capture_output=True, text=True, check=False)).returncode:
            assert time.monotonic() < until and self.running[-1].poll() is None, (open(log.name).read(), done)
            time.sleep(0.2)

    def postgresql(self):
        user = user_for("postgres")
        port = str(free_port())
        folder = self.folder_of("postgresql", user)
        subprocess.run(
            [program("initdb"), "-D", folder, "-A", "trust", "-U", "postgres"],
            user=user,
            check=True,
            capture_output=True,
            cwd=folder,
        )
        postgres = [
            program("postgres"),
            "-D",
            folder,
            "-p",
            port,
            "-c",
            f"unix_socket_directories={folder}",
            "-c",
            "listen_addresses=127.0.0.1",
        ]
        psql = ["psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
        self.run(user, postgres, is_ready=[*psql, "-c", "SELECT 1"])
        subprocess.run(
            [*psql, "-c", "CREATE ROLE shop LOGIN", "-c", "CREATE DATABASE shop OWNER shop"], check=True, capture_output=True
        )
        return port

    def mariadb(self):
        user = user_for("mysql")
        port = str(free_port())
        folder = self.folder_of("mariadb", user)
        # The first option must come first.
        options = ["--no-defaults", f"--datadir={folder}"]
        install = [program("mariadb-install-db"), *options, "--auth-root-authentication-method=normal"]
        subprocess.run(install, user=user, check=True, capture_output=True, cwd=folder)
        place = f"--socket={folder}/socket"
        client = ["mariadb", "--no-defaults", place, "--user=root"]
        mariadbd = [program("mariadbd"), *options, place, f"--port={port}", "--bind-address=127.0.0.1"]
        self.run(user, mariadbd, is_ready=[*client, "-e", "SELECT 1"])
        make = "CREATE DATABASE shop; CREATE USER shop@'%' IDENTIFIED BY 'geheim'; GRANT ALL ON shop.* TO shop@'%'; DROP USER IF EXISTS ''@localhost"
        subprocess.run([*client, "-e", make], check=True, capture_output=True)
        return port

    def redis(self):
        port = str(free_port())
        command = [program("redis-server"), "--port", port, "--dir", self.folder, "--save", "", "--requirepass", "geheim"]
        self.run(None, command, is_ready=["redis-cli", "-p", port, "ping"])
        return port


# Operations of MongoDB's wire protocol.
OP_MSG = 2013
OP_REPLY = 1


def mongodb():
    """Starts a server that answers MongoDB's messages of a client. `failed` is a collection that it does not find. Returns its
    port.

    Source: MongoDB's wire protocol, `OP_MSG` and the older `OP_QUERY` of the first message.
    """
    import bson

    server = socket.create_server(("127.0.0.1", 0))
    hello = {
        "ok": 1.0,
        "ismaster": True,
        "isWritablePrimary": True,
        "maxWireVersion": 21,
        "minWireVersion": 0,
        "maxBsonObjectSize": 16777216,
    }
    hello |= {"maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "readOnly": False}

    def answer(command):
        if "find" in command and command["find"] == "failed":
            message = f'cannot read {{ name: {command["filter"]["name"]} }} of "{command["filter"]["name"]}"'
            return {"ok": 0.0, "errmsg": message, "code": 13, "codeName": "Unauthorized"}
        if "find" in command:
            return {
                "ok": 1.0,
                "cursor": {
                    "id": bson.Int64(0),
                    "ns": "shop.users",
                    "firstBatch": [{"_id": 1, "name": command["filter"].get("name")}],
                },
            }
        return {"ok": 1.0, "n": 1} if "insert" in command else hello

    def exactly(connection, length):
        found = b""
        while len(found) < length:
            if not (more := connection.recv(length - len(found))):
                raise ConnectionError
            found += more
        return found

    def serve(connection):
        try:
            while True:
                length, number, _, operation = struct.unpack("<iiii", exactly(connection, 16))
                body = exactly(connection, length - 16)
                if operation == OP_MSG:
                    (size,) = struct.unpack_from("<i", body, 5)
                    reply = OP_MSG
                    content = struct.pack("<iB", 0, 0) + bson.encode(answer(bson.decode(body[5 : 5 + size])))
                else:
                    reply = OP_REPLY
                    content = struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(hello)
                connection.sendall(struct.pack("<iiii", 16 + len(content), 1, number, reply) + content)
        except OSError:
            connection.close()

    def accept():
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return str(server.getsockname()[1])
