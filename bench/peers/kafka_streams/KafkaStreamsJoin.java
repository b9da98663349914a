import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Kafka Streams on the worker's work: unite the reports of a session in its state, publish what is known of it.
 *
 * As its users would write it: an aggregate over the three topics (RocksDB, changelog, record cache), at least once, one
 * thread as there is one core; nothing is validated, no dead letters.
 */
public final class KafkaStreamsJoin {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        String servers = arguments[0], prefix = arguments[1], group = arguments[2], out = arguments[3], folder = arguments[4];
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, group);
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, servers);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Path.of(folder).toString());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 500);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.ACKS_CONFIG), "all");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 100);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");

        Serde<ObjectNode> json = Serdes.serdeFrom(writer(), reader());
        StreamsBuilder builder = new StreamsBuilder();
        builder
            .stream(List.of(prefix + "cdr", prefix + "record", prefix + "voicemail"), Consumed.with(Serdes.String(), json))
            .groupByKey(Grouped.with(Serdes.String(), json))
            .aggregate(
                JSON::createObjectNode,
                (key, event, reports) -> reports.set(event.get("digest").asText(), event.get("payload")),
                Materialized.<String, ObjectNode, KeyValueStore<Bytes, byte[]>>as("sessions")
                    .withKeySerde(Serdes.String())
                    .withValueSerde(json))
            .toStream()
            .to(out, Produced.with(Serdes.String(), json));

        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setGlobalStateRestoreListener(new Restored());
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                System.out.println("ready");
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Serializer<ObjectNode> writer() {
        return (topic, value) -> {
            try {
                return value == null ? null : JSON.writeValueAsBytes(value);
            } catch (java.io.IOException impossible) {
                throw new java.io.UncheckedIOException(impossible);
            }
        };
    }

    private static Deserializer<ObjectNode> reader() {
        return (topic, bytes) -> {
            try {
                return bytes == null ? null : (ObjectNode) JSON.readTree(bytes);
            } catch (java.io.IOException broken) {
                throw new java.io.UncheckedIOException(broken);
            }
        };
    }

    /** Says how many records each partition restored, when it has. */
    private static final class Restored implements StateRestoreListener {
        @Override
        public void onRestoreStart(TopicPartition partition, String store, long from, long to) {
            System.out.println("restoring");
        }

        @Override
        public void onBatchRestored(TopicPartition partition, String store, long end, long count) {}

        @Override
        public void onRestoreEnd(TopicPartition partition, String store, long total) {
            System.out.println("restored " + total);
        }
    }
}
