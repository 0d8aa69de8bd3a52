import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/** The records that every client writes and reads; records.tsv says how they are written down. */
final class Records {
    record Line(int partition, long timestamp, byte[] key, byte[] value, List<Header> headers) {}

    private Records() {}

    /** The records that {@code writer}, a client's name, can write, in their order. */
    static List<Line> load(String path, String writer) throws IOException {
        List<Line> records = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(path), StandardCharsets.US_ASCII)) {
            String[] fields = line.split("\t", -1);
            if (!line.startsWith("#") && !Arrays.asList(fields[5].split(",")).contains(writer)) {
                records.add(new Line(Integer.parseInt(fields[0]), Long.parseLong(fields[1]),
                        bytes(fields[2]), bytes(fields[3]), headers(fields[4])));
            }
        }
        return records;
    }

    private static List<Header> headers(String text) {
        List<Header> headers = new ArrayList<>();
        if (!text.equals("-")) {
            for (String pair : text.split(",")) {
                String[] sides = pair.split(":");
                String name = new String(bytes(sides[0]), StandardCharsets.UTF_8);
                headers.add(new RecordHeader(name, bytes(sides[1])));
            }
        }
        return headers;
    }

    private static byte[] bytes(String text) {
        if (text.equals("-")) {
            return null;
        }
        if (text.equals(".")) {
            return new byte[0];
        }
        String[] sides = text.split("\\*");
        int times = sides.length == 1 ? 1 : Integer.parseInt(sides[1]);
        if (sides[0].startsWith("~")) {
            return sequence(Long.parseLong(sides[0].substring(1)), times);
        }
        byte[] once = HexFormat.of().parseHex(sides[0]);
        ByteArrayOutputStream made = new ByteArrayOutputStream();
        for (int n = 0; n < times; n++) {
            made.writeBytes(once);
        }
        return made.toByteArray();
    }

    private static byte[] sequence(long start, int length) {
        byte[] made = new byte[length];
        long state = start;
        for (int at = 0; at < length; at++) {
            state = state * 16807 % 2147483647;
            made[at] = (byte) state;
        }
        return made;
    }
}
