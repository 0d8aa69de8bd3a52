import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;

/** Idempotence and transactions by Kafka's own client. */
final class Transactions {
    private Transactions() {}

    static void addTo(Map<String, Client.Test> tests) {
        tests.put("acks 0, 1 and all", Transactions::acks);
        tests.put("an idempotent producer", Transactions::idempotent);
        tests.put("committed and aborted transactions", Transactions::committedAndAborted);
        tests.put("offsets go with the transaction", Transactions::offsets);
        tests.put("a second producer fences the first", Transactions::fences);
        tests.put("transactions and producers are described", Transactions::described);
    }

    private static Producer<byte[], byte[]> transactional(Broker broker, String suffix) {
        var producer = broker.producer(Map.of("transactional.id", broker.name(suffix)));
        producer.initTransactions();
        return producer;
    }

    private static void acks(Broker broker) throws Exception {
        for (String acks : List.of("0", "1", "all")) {
            String topic = broker.name("acks-" + acks);
            broker.makeTopic(topic, 1);
            try (var producer = broker.producer(Map.of("acks", acks, "enable.idempotence", false))) {
                Broker.send(producer, topic, List.of("one", "two"));
            }
            // Without an answer it is not yet known to be there.
            Broker.until(() -> broker.values(topic, "read_committed").equals(List.of("one", "two")),
                    "what acks=" + acks + " wrote is read");
        }
    }

    private static void idempotent(Broker broker) throws Exception {
        String topic = broker.name("idempotent");
        broker.makeTopic(topic, 1);
        try (var producer = broker.producer(Map.of("batch.size", 200, "linger.ms", 0))) {
            Broker.send(producer, topic, Broker.numbers(0, 5000));
        }
        Broker.expect(broker.values(topic, "read_committed"), Broker.numbers(0, 5000), "what is read");
    }

    private static void committedAndAborted(Broker broker) throws Exception {
        String topic = broker.name("transactions");
        broker.makeTopic(topic, 1);
        try (var producer = transactional(broker, "transactions-id")) {
            for (int from : new int[] {0, 10, 20}) {
                producer.beginTransaction();
                Broker.send(producer, topic, Broker.numbers(from, from + 10));
                if (from == 10) {
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
            producer.beginTransaction();
            Broker.send(producer, topic, List.of("open"));
            List<String> committed = new ArrayList<>(Broker.numbers(0, 10));
            committed.addAll(Broker.numbers(20, 30));
            Broker.expect(broker.values(topic, "read_committed"), committed, "read_committed");
            List<String> all = new ArrayList<>(Broker.numbers(0, 30));
            all.add("open");
            Broker.expect(broker.values(topic, "read_uncommitted"), all, "read_uncommitted");
            producer.abortTransaction();
        }
    }

    private static void offsets(Broker broker) throws Exception {
        String source = broker.name("source");
        String sink = broker.name("sink");
        broker.makeTopic(source, 1);
        broker.makeTopic(sink, 1);
        broker.send(source, Broker.numbers(0, 10));
        TopicPartition place = new TopicPartition(source, 0);
        try (var consumer = broker.consumer(broker.name("process-group"), Map.of());
                var producer = transactional(broker, "process-id")) {
            consumer.subscribe(List.of(source));
            Broker.poll(consumer, 10);
            for (boolean commits : new boolean[] {false, true}) {
                producer.beginTransaction();
                Broker.send(producer, sink, List.of(commits ? "kept" : "lost"));
                producer.sendOffsetsToTransaction(Map.of(place, new OffsetAndMetadata(10)),
                        consumer.groupMetadata());
                if (commits) {
                    producer.commitTransaction();
                } else {
                    producer.abortTransaction();
                }
                OffsetAndMetadata read = consumer.committed(java.util.Set.of(place)).get(place);
                Broker.expect(read == null ? -1 : read.offset(), commits ? 10L : -1, "the offset");
            }
        }
        broker.expectCommitted(sink, List.of("kept"), "the outputs");
    }

    private static void fences(Broker broker) throws Exception {
        String topic = broker.name("fenced");
        broker.makeTopic(topic, 1);
        try (var first = transactional(broker, "fenced-id")) {
            first.beginTransaction();
            Broker.send(first, topic, List.of("lost"));
            try (var second = transactional(broker, "fenced-id")) {
                try {
                    first.commitTransaction();
                    throw new AssertionError("the first could still commit");
                } catch (ProducerFencedException expected) {
                    second.beginTransaction();
                    Broker.send(second, topic, List.of("kept"));
                    second.commitTransaction();
                }
            }
        }
        broker.expectCommitted(topic, List.of("kept"), "what is read");
    }

    private static void described(Broker broker) throws Exception {
        String topic = broker.name("described");
        String id = broker.name("described-id");
        broker.makeTopic(topic, 1);
        TopicPartition place = new TopicPartition(topic, 0);
        try (var producer = transactional(broker, "described-id"); Admin admin = broker.admin()) {
            producer.beginTransaction();
            Broker.send(producer, topic, List.of("one", "two"));
            var found = admin.describeTransactions(List.of(id)).description(id).get();
            Broker.expect(found.state(), TransactionState.ONGOING, "its state");
            Broker.expect(found.topicPartitions(), java.util.Set.of(place), "its partitions");
            var listed = admin.listTransactions().all().get();
            Broker.expect(listed.stream().anyMatch(t -> t.transactionalId().equals(id)
                    && t.state() == TransactionState.ONGOING), true, "whether it is listed");
            var producers = admin.describeProducers(List.of(place)).partitionResult(place).get();
            var state = producers.activeProducers().get(0);
            Broker.expect(state.producerId(), found.producerId(), "the producer's id");
            Broker.expect(state.lastSequence(), 1, "its last sequence");
            Broker.expect(state.currentTransactionStartOffset().getAsLong(), 0L, "its first offset");
            producer.commitTransaction();
        }
    }
}
