"""Stands in for a file of kafka-python's tests that its sdist lacks: services that a test starts."""

from kafka import KafkaConsumer

# Tests subscribe right after the consumer was made. Where its first request for metadata is still on its
# way then, kafka-python 3.0.12 takes the answer, which has no topics, for the one to the subscription,
# and asks again only when the metadata are this old: by default after five minutes, when the test has
# long given up. How fast the broker answers decides whether it comes to that.
KafkaConsumer.DEFAULT_CONFIG["metadata_max_age_ms"] = 1000


class ExternalService:
    """A broker that is there already."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def close(self):
        pass


class SpawnedService:
    """A broker of a test's own, which needs Kafka's distribution."""

    def __init__(self, *_args, **_named):
        raise RuntimeError("there is no distribution of Kafka to start a broker from")
