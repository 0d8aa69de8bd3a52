import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;

/** Topics, settings, offsets and groups by Kafka's own admin client. */
final class Administration {
    private Administration() {}

    static void addTo(Map<String, Client.Test> tests) {
        tests.put("the life of a topic", Administration::lifeOfATopic);
        tests.put("settings of a topic", Administration::settings);
        tests.put("records are deleted", Administration::recordsAreDeleted);
        tests.put("offsets by time and end", Administration::offsets);
        tests.put("groups are listed and deleted", Administration::groups);
        tests.put("the cluster and its directories are described", Administration::cluster);
    }

    private static boolean has(Admin admin, String topic) {
        try {
            return admin.listTopics().names().get().contains(topic);
        } catch (InterruptedException | ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    private static TopicDescription described(Admin admin, String topic) {
        try {
            return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        } catch (InterruptedException | ExecutionException error) {
            throw new AssertionError(error);
        }
    }

    private static void lifeOfATopic(Broker broker) throws Exception {
        String topic = broker.name("life");
        broker.makeTopic(topic, 2);
        try (Admin admin = broker.admin()) {
            admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
            Broker.until(() -> described(admin, topic).partitions().size() == 5, "five partitions");
            var described = described(admin, topic);
            var byId = admin.describeTopics(org.apache.kafka.common.TopicCollection.ofTopicIds(
                    List.of(described.topicId()))).allTopicIds().get().get(described.topicId());
            Broker.expect(byId.name(), topic, "the name of its id");
            admin.deleteTopics(List.of(topic)).all().get();
            Broker.until(() -> !has(admin, topic), "the topic is gone");
            broker.makeTopic(topic, 1);
            Broker.until(() -> has(admin, topic), "the topic is there again");
            var again = described(admin, topic);
            Broker.expect(again.topicId().equals(described.topicId()), false, "whether the id is the same");
        }
    }

    private static void settings(Broker broker) throws Exception {
        String topic = broker.name("settings");
        broker.makeTopic(topic, 1);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (Admin admin = broker.admin()) {
            admin.incrementalAlterConfigs(Map.of(resource, set("retention.ms", "3600000"))).all().get();
            var read = admin.describeConfigs(List.of(resource)).all().get().get(resource);
            Broker.expect(read.get("retention.ms").value(), "3600000", "retention.ms");
            Broker.expect(read.get("cleanup.policy").value(), "delete", "cleanup.policy");
            try {
                admin.incrementalAlterConfigs(Map.of(resource, set("no.such.key", "1"))).all().get();
                throw new AssertionError("an unknown key was taken");
            } catch (ExecutionException error) {
                Broker.expect(error.getCause().getClass(), InvalidConfigurationException.class, "the error");
            }
        }
    }

    private static Collection<AlterConfigOp> set(String name, String value) {
        return List.of(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET));
    }

    private static void recordsAreDeleted(Broker broker) throws Exception {
        String topic = broker.name("deleted");
        broker.makeTopic(topic, 1);
        broker.send(topic, Broker.numbers(0, 10));
        TopicPartition place = new TopicPartition(topic, 0);
        try (Admin admin = broker.admin()) {
            var deleted = admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(4)));
            Broker.expect(deleted.lowWatermarks().get(place).get().lowWatermark(), 4L, "low watermark");
        }
        List<String> left = broker.values(topic, "read_committed");
        Broker.expect(left, Broker.numbers(4, 10), "what is left");
    }

    private static void offsets(Broker broker) throws Exception {
        String topic = broker.name("offsets");
        broker.makeTopic(topic, 1);
        TopicPartition place = new TopicPartition(topic, 0);
        try (var producer = broker.producer(Map.of()); Admin admin = broker.admin();
                var consumer = broker.consumer(broker.name("offsets-group"), Map.of())) {
            for (long time : new long[] {1000, 3000, 2000}) {
                producer.send(new org.apache.kafka.clients.producer.ProducerRecord<>(
                        topic, 0, time, null, new byte[] {1})).get();
            }
            Map<OffsetSpec, Long> wanted = Map.of(OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 3L,
                    OffsetSpec.maxTimestamp(), 1L, OffsetSpec.forTimestamp(1001), 1L,
                    OffsetSpec.forTimestamp(3001), -1L);
            for (var entry : wanted.entrySet()) {
                var found = admin.listOffsets(Map.of(place, entry.getKey())).partitionResult(place).get();
                Broker.expect(found.offset(), entry.getValue(), "the offset for " + entry.getKey());
            }
            var found = consumer.offsetsForTimes(Map.of(place, 1001L)).get(place);
            Broker.expect(found.offset() + "@" + found.timestamp(), "1@3000", "offsetsForTimes");
        }
    }

    private static void groups(Broker broker) throws Exception {
        String topic = broker.name("grouped");
        String group = broker.name("grouped-group");
        broker.makeTopic(topic, 1);
        broker.send(topic, Broker.numbers(0, 5));
        TopicPartition place = new TopicPartition(topic, 0);
        try (Admin admin = broker.admin()) {
            try (var consumer = broker.consumer(group, Map.of())) {
                consumer.subscribe(List.of(topic));
                Broker.poll(consumer, 5);
                consumer.commitSync();
            }
            var listed = admin.listConsumerGroups().all().get();
            Broker.expect(listed.stream().anyMatch(g -> g.groupId().equals(group)), true, "is it listed");
            var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            Broker.expect(offsets.get(place).offset(), 5L, "its offset");
            admin.deleteConsumerGroupOffsets(group, java.util.Set.of(place)).all().get();
            offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            Broker.expect(offsets.get(place), null, "its offset once it is deleted");
            admin.deleteConsumerGroups(List.of(group)).all().get();
        }
    }

    private static void cluster(Broker broker) throws Exception {
        try (Admin admin = broker.admin()) {
            var cluster = admin.describeCluster();
            List<Node> nodes = List.copyOf(cluster.nodes().get());
            Broker.expect(nodes.size(), 1, "nodes");
            Broker.expect(nodes.get(0).host() + ":" + nodes.get(0).port(), broker.address, "where it is");
            Broker.expect(cluster.clusterId().get().isEmpty(), false, "whether the cluster has no id");
            var directories = admin.describeLogDirs(List.of(nodes.get(0).id())).allDescriptions().get();
            Broker.expect(directories.size(), 1, "nodes with directories");
        }
    }
}
