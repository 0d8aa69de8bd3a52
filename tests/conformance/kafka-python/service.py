"""Stands in for a file of kafka-python's tests that its sdist lacks: services that a test starts."""


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
