import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** The broker under test, clients of it, and the prefix of all names that a run makes up. */
final class Broker {
    static final Duration PATIENCE = Duration.ofSeconds(30);
    static final Duration POLL = Duration.ofMillis(100);

    final String address;
    private final String prefix;

    Broker(String address, String prefix) {
        this.address = address;
        this.prefix = prefix;
    }

    String name(String suffix) {
        return prefix + "." + suffix;
    }

    Admin admin() {
        return Admin.create(Map.of("bootstrap.servers", address));
    }

    Producer<byte[], byte[]> producer(Map<String, Object> settings) {
        return new KafkaProducer<>(with(settings), new ByteArraySerializer(), new ByteArraySerializer());
    }

    Consumer<byte[], byte[]> consumer(String group, Map<String, Object> settings) {
        Map<String, Object> all = with(settings);
        all.put("group.id", group);
        all.put("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", false);
        all.putIfAbsent("isolation.level", "read_committed");
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Map<String, Object> with(Map<String, Object> settings) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", address);
        return all;
    }

    void makeTopic(String name, int partitions) throws Exception {
        try (Admin admin = admin()) {
            NewTopic topic = new NewTopic(name, Optional.of(partitions), Optional.empty());
            // Records are older than any retention.
            topic.configs(Map.of("retention.ms", "-1"));
            admin.createTopics(List.of(topic)).all().get();
        }
    }

    /** Produces to partition 0 and waits until all are delivered. */
    static void send(Producer<byte[], byte[]> producer, String topic, List<String> values)
            throws Exception {
        List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
        for (String value : values) {
            byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
            sent.add(producer.send(new ProducerRecord<>(topic, 0, null, bytes)));
        }
        producer.flush();
        for (var one : sent) {
            one.get();
        }
    }

    void send(String topic, List<String> values) throws Exception {
        try (var producer = producer(Map.of())) {
            send(producer, topic, values);
        }
    }

    /** All records of a partition up to its end. */
    List<ConsumerRecord<byte[], byte[]>> read(String topic, int partition, String isolation) {
        TopicPartition place = new TopicPartition(topic, partition);
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        try (var consumer = consumer(name("reader"), Map.of("isolation.level", isolation))) {
            consumer.assign(List.of(place));
            consumer.seekToBeginning(List.of(place));
            long end = consumer.endOffsets(List.of(place)).get(place);
            until(() -> {
                consumer.poll(POLL).forEach(records::add);
                return consumer.position(place) >= end;
            }, "reading to the end of " + place);
        }
        return records;
    }

    List<String> values(String topic, String isolation) {
        return values(read(topic, 0, isolation));
    }

    /**
     * What a reader of committed records finds, at once or in a while: the end of a transaction is
     * acknowledged when it is decided, and its partitions are told after that.
     */
    void expectCommitted(String topic, List<String> wanted, String what) {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        List<String> found;
        do {
            found = values(topic, "read_committed");
        } while (!found.equals(wanted) && System.nanoTime() < deadline);
        expect(found, wanted, what);
    }

    static List<String> values(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(r -> new String(r.value(), StandardCharsets.UTF_8)).toList();
    }

    /** The next {@code count} records of a subscribed consumer. */
    static List<ConsumerRecord<byte[], byte[]>> poll(Consumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        until(() -> {
            consumer.poll(POLL).forEach(records::add);
            return records.size() >= count;
        }, count + " records");
        return records;
    }

    static List<String> numbers(int from, int to) {
        return IntStream.range(from, to).mapToObj(Integer::toString).toList();
    }

    static void until(Supplier<Boolean> condition, String what) {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.get()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("never came true: " + what);
            }
            Thread.onSpinWait();
        }
    }

    static void expect(Object found, Object wanted, String what) {
        if (!java.util.Objects.equals(found, wanted)) {
            throw new AssertionError(what + ": " + found + " instead of " + wanted);
        }
    }
}
