import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * Kafka's own client against a broker.
 *
 * <pre>
 * Client produce ADDRESS RECORDS TOPIC CODEC
 * Client read ADDRESS RECORDS TOPIC...   compares every byte, a line of results a topic
 * Client own ADDRESS PREFIX              tests of its own: groups, transactions, administration
 * </pre>
 */
final class Client {
    /** A test, which fails by an exception. */
    interface Test {
        void run(Broker broker) throws Exception;
    }

    private Client() {}

    private static void report(String name, Test test, Broker broker) {
        try {
            test.run(broker);
            System.out.println("ok " + name);
        } catch (Exception | AssertionError error) {
            error.printStackTrace();
            String reason = error.toString().replaceAll("\\s+", " ");
            System.out.println("not ok " + name + ": " + reason.substring(0, Math.min(400, reason.length())));
        }
    }

    private static void produce(Broker broker, String path, String topic, String codec)
            throws Exception {
        // Lingers, so that there are batches to compress.
        Map<String, Object> settings = Map.of("compression.type", codec, "linger.ms", 50,
                "batch.size", 1000000, "max.request.size", 4000000);
        try (var producer = broker.producer(settings)) {
            List<Future<?>> sent = new ArrayList<>();
            for (Records.Line line : Records.load(path, "java")) {
                sent.add(producer.send(new ProducerRecord<>(topic, line.partition(), line.timestamp(),
                        line.key(), line.value(), line.headers())));
            }
            producer.flush();
            for (var one : sent) {
                one.get();
            }
        }
    }

    private static void read(Broker broker, String path, String topic) throws Exception {
        String writer = topic.split("\\.")[1];
        List<Records.Line> written = Records.load(path, writer);
        for (int partition : new int[] {0, 1}) {
            List<Records.Line> wanted =
                    written.stream().filter(line -> line.partition() == partition).toList();
            var found = broker.read(topic, partition, "read_committed");
            Broker.expect(found.size(), wanted.size(), "records of partition " + partition);
            for (int at = 0; at < found.size(); at++) {
                compare(found.get(at), wanted.get(at), writer, partition + ", record " + at);
            }
        }
    }

    private static void compare(ConsumerRecord<byte[], byte[]> found, Records.Line wanted,
            String writer, String where) {
        if (!Arrays.equals(found.key(), wanted.key()) || !Arrays.equals(found.value(), wanted.value())) {
            throw new AssertionError("partition " + where + ": key or value differs");
        }
        Broker.expect(Arrays.asList(found.headers().toArray()), wanted.headers(),
                "headers in partition " + where);
        // kcat cannot set timestamps.
        if (!writer.equals("kcat")) {
            Broker.expect(found.timestamp(), wanted.timestamp(), "timestamp in partition " + where);
        }
    }

    public static void main(String[] words) {
        Broker broker = new Broker(words[1], words[2]);
        switch (words[0]) {
            case "produce" -> report("writes with " + words[4],
                    b -> produce(b, words[2], words[3], words[4]), broker);
            case "read" -> {
                for (int at = 3; at < words.length; at++) {
                    String topic = words[at];
                    report("reads " + topic, b -> read(b, words[2], topic),
                            new Broker(words[1], "java-read"));
                }
            }
            case "own" -> {
                Map<String, Test> tests = new LinkedHashMap<>();
                Groups.addTo(tests);
                Transactions.addTo(tests);
                Administration.addTo(tests);
                tests.forEach((name, test) -> report(name, test, broker));
            }
            default -> throw new IllegalArgumentException(words[0]);
        }
        // What a failed test leaves open keeps nobody waiting.
        System.exit(0);
    }
}
