"""A transactional producer of somebody else, by librdkafka (the library that kcat brings along)."""

import ctypes
import ctypes.util


class ForeignProducer:
    """Opens transactions and leaves them open, as a client that hangs does."""

    def __init__(self, bootstrap, transactional_id, timeout_ms=60_000):
        self.library = ctypes.CDLL(ctypes.util.find_library("rdkafka") or "librdkafka.so.1")
        for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_topic_new",
                     "rd_kafka_init_transactions", "rd_kafka_begin_transaction",
                     "rd_kafka_commit_transaction", "rd_kafka_abort_transaction",
                     "rd_kafka_error_string"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.library.rd_kafka_error_string.restype = ctypes.c_char_p
        conf = ctypes.c_void_p(self.library.rd_kafka_conf_new())
        text = ctypes.create_string_buffer(512)
        for key, value in {"bootstrap.servers": bootstrap, "transactional.id": transactional_id,
                           "transaction.timeout.ms": str(timeout_ms), "log_level": "0"}.items():
            failed = self.library.rd_kafka_conf_set(conf, key.encode(), value.encode(), text, 512)
            assert failed == 0, text.value.decode()
        self.handle = ctypes.c_void_p(self.library.rd_kafka_new(0, conf, text, 512))
        assert self.handle, text.value.decode()
        self._check(self.library.rd_kafka_init_transactions(self.handle, 30_000))

    def _check(self, error):
        if error:
            error = ctypes.c_void_p(error)
            raise AssertionError(self.library.rd_kafka_error_string(error).decode())

    def begin(self):
        self._check(self.library.rd_kafka_begin_transaction(self.handle))

    def produce(self, topic, value, partition=-1, key=None):
        """Written to the log, and uncommitted, when this returns."""
        handle = ctypes.c_void_p(
            self.library.rd_kafka_topic_new(self.handle, topic.encode(), None))
        payload = ctypes.create_string_buffer(value, len(value))
        failed = self.library.rd_kafka_produce(
            handle, ctypes.c_int32(partition), 2, payload, ctypes.c_size_t(len(value)), key,
            ctypes.c_size_t(len(key or b"")), None)
        assert failed == 0, "the foreign producer could not produce"
        assert self.library.rd_kafka_flush(self.handle, 30_000) == 0

    def commit(self):
        self._check(self.library.rd_kafka_commit_transaction(self.handle, 30_000))

    def abort(self):
        self._check(self.library.rd_kafka_abort_transaction(self.handle, 30_000))

    def close(self):
        """Without aborting: the broker does so at the timeout."""
        self.library.rd_kafka_destroy_flags(self.handle, 0x8)
