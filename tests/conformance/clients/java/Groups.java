import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Consumer groups by Kafka's own client. */
final class Groups {
    private Groups() {}

    static void addTo(Map<String, Client.Test> tests) {
        tests.put("a group resumes at its commit", Groups::resumes);
        tests.put("two members share partitions", b -> twoShare(b, "shared", Map.of()));
        tests.put("two cooperative members share partitions", b -> twoShare(b, "cooperative",
                Map.of("partition.assignment.strategy", CooperativeStickyAssignor.class.getName())));
        tests.put("a static member comes back", Groups::staticMember);
    }

    private static void resumes(Broker broker) throws Exception {
        String topic = broker.name("resume");
        String group = broker.name("resume-group");
        broker.makeTopic(topic, 1);
        broker.send(topic, Broker.numbers(0, 200));
        for (int from : new int[] {0, 100}) {
            try (var consumer = broker.consumer(group, Map.of("max.poll.records", 100))) {
                consumer.subscribe(List.of(topic));
                List<ConsumerRecord<byte[], byte[]>> records = Broker.poll(consumer, 100);
                Broker.expect(Broker.values(records), Broker.numbers(from, from + 100), "what it reads");
                TopicPartition place = new TopicPartition(topic, 0);
                consumer.commitSync(Map.of(place, new OffsetAndMetadata(from + 100, "half")));
                OffsetAndMetadata read = consumer.committed(java.util.Set.of(place)).get(place);
                Broker.expect(read.offset() + read.metadata(), from + 100 + "half", "what is committed");
            }
        }
    }

    private static void twoShare(Broker broker, String name, Map<String, Object> settings)
            throws Exception {
        String topic = broker.name(name);
        String group = broker.name(name + "-group");
        broker.makeTopic(topic, 4);
        try (var first = broker.consumer(group, settings)) {
            first.subscribe(List.of(topic));
            try (var second = broker.consumer(group, settings)) {
                second.subscribe(List.of(topic));
                // Both are polled each time, since both have to take part.
                Broker.until(() -> List.of(held(first), held(second)).equals(List.of(2, 2)),
                        "two of four for each");
            }
            Broker.until(() -> held(first) == 4, "all four for the one that is left");
        }
    }

    private static int held(Consumer<byte[], byte[]> consumer) {
        consumer.poll(Broker.POLL);
        return consumer.assignment().size();
    }

    private static void staticMember(Broker broker) throws Exception {
        String topic = broker.name("static");
        String group = broker.name("static-group");
        broker.makeTopic(topic, 2);
        Map<String, Object> settings = Map.of("group.instance.id", "one");
        for (int time = 0; time < 2; time++) {
            try (var consumer = broker.consumer(group, settings); Admin admin = broker.admin()) {
                consumer.subscribe(List.of(topic));
                Broker.until(() -> held(consumer) == 2, "it has both partitions");
                var described = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
                List<String> ids = described.members().stream()
                        .map(MemberDescription::groupInstanceId).map(id -> id.orElse("none")).toList();
                Broker.expect(ids, List.of("one"), "instance ids of its members");
            }
        }
    }
}
