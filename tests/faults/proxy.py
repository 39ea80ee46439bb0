"""The network between one client and a server, as a TCP relay that can be cut, frozen and slowed.

It can also read along: `KafkaProxy` knows where a request or response of Kafka's protocol ends and
the next begins, and `PostgresProxy` where a COMMIT passes. A watcher decides what becomes of each,
so that a process can be killed, or its connection cut, at an exact point of a transaction, without
anything in the program under test that knows of it.
"""

import random
import socket
import struct
import threading
import time

PASS, DROP, CUT = "pass", "drop", "cut"

# TCP sends a lost packet again after this long at first (Linux's TCP_RTO_MIN), then after twice as
# long, and so on.
RETRANSMISSION_S = 0.2

# Kafka's names of requests (the protocol guide's api keys).
PRODUCE, FETCH, INIT_PRODUCER_ID, END_TXN, TXN_OFFSET_COMMIT = 0, 1, 22, 26, 28


class Connection:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, client, server):
        self.client = client
        self.server = server
        self.asked = {}  # Kafka: api key and request by correlation id

    def close(self):
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Proxy:
    """Listens on `port` of 127.0.0.1 and relays to the target port, until it is told otherwise."""

    def __init__(self, target_port, port=0):
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.changed = threading.Condition()
        self.mode = PASS
        self.delay_s = 0.0
        self.loss = 0.0
        self.dice = None
        self.open = set()
        self.closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- what may befall the network

    def cut(self):
        """Every connection is reset, and a new one is closed at once."""
        self._set_mode("cut")
        for connection in self._connections():
            connection.close()

    def reset(self):
        """Every connection is reset; new ones pass."""
        for connection in self._connections():
            connection.close()

    def freeze(self):
        """A partition: no byte passes and nobody is told."""
        self._set_mode("frozen")

    def slow(self, delay_s):
        """Every piece takes so much longer."""
        self.delay_s = delay_s

    def lose(self, share, seed):
        """Packets get lost, which of them the seed says. Whoever talks TCP sees no gap: what was
        lost is sent again, once more if that is lost too, and what lies behind it waits."""
        self.dice = random.Random(seed)
        self.loss = share

    def heal(self):
        self.delay_s = self.loss = 0.0
        self._set_mode(PASS)

    def close(self):
        self.closed = True
        self.cut()
        self.listener.close()

    # ---- how

    def _set_mode(self, mode):
        with self.changed:
            self.mode = mode
            self.changed.notify_all()

    def _connections(self):
        with self.changed:
            return list(self.open)

    def _accept(self):
        while not self.closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        if self.mode == "cut":
            client.close()
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target_port), 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(client, server)
        with self.changed:
            self.open.add(connection)
        answers = threading.Thread(
            target=self._relay, args=(connection, server, client, False), daemon=True)
        answers.start()
        self._relay(connection, client, server, True)
        answers.join()
        with self.changed:
            self.open.discard(connection)

    def _relay(self, connection, source, target, from_client):
        try:
            while True:
                piece = self.read(source)
                if not piece:
                    break
                self._await_passage()
                decision = self.watch(connection, piece, from_client)
                if decision == CUT:
                    break
                if decision == PASS:
                    target.sendall(piece)
        except OSError:
            pass
        connection.close()

    def _await_passage(self):
        wait_s = self.delay_s
        retransmission_s = RETRANSMISSION_S
        while self.loss and self.dice.random() < self.loss:
            wait_s += retransmission_s
            retransmission_s *= 2
        if wait_s:
            time.sleep(wait_s)
        with self.changed:
            while self.mode == "frozen":
                self.changed.wait()
            if self.mode == "cut":
                raise OSError("cut")

    # ---- what subclasses know

    def read(self, source):
        return source.recv(65536)

    def watch(self, connection, piece, from_client):
        return PASS


def read_exactly(source, size):
    pieces = bytearray()
    while len(pieces) < size:
        piece = source.recv(size - len(pieces))
        if not piece:
            return b""
        pieces += piece
    return bytes(pieces)


class Watched(Proxy):
    """Asks `watcher(kind, api_key, request, connection)`, kind "request" or "response"; none lets
    all pass. For a response, too, `request` is what was asked.

    The watcher runs on the connection's thread: while it waits, that direction waits."""

    def __init__(self, target_port, port=0):
        self.watcher = None
        super().__init__(target_port, port)


class KafkaProxy(Watched):
    """Whole requests and responses of Kafka's protocol."""

    def read(self, source):
        size = read_exactly(source, 4)
        return size + read_exactly(source, struct.unpack(">i", size)[0]) if size else b""

    def watch(self, connection, piece, from_client):
        if from_client:
            api_key, _, correlation_id = struct.unpack_from(">hhi", piece, 4)
            connection.asked[correlation_id] = (api_key, piece)
            request = piece
        else:
            (correlation_id,) = struct.unpack_from(">i", piece, 4)
            api_key, request = connection.asked.pop(correlation_id, (-1, b""))
        watcher = self.watcher
        if watcher is None:
            return PASS
        return watcher("request" if from_client else "response", api_key, request, connection)


def is_commit(api_key, request):
    """Whether an EndTxn request asks to commit: its last byte, in the versions that librdkafka
    speaks (0 and 1)."""
    return api_key == END_TXN and request[-1] == 1


class PostgresProxy(Watched):
    """Whatever arrives at once; a COMMIT is sent, or answered, in one piece."""

    def watch(self, connection, piece, from_client):
        watcher = self.watcher
        if watcher is None or b"COMMIT\x00" not in piece:
            return PASS
        return watcher("request" if from_client else "response", -1, piece, connection)
