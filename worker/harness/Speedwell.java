// Speedwell's harness for Java: the protocol of pyperf.py beside it, without its clothes.
//
//     public final class Nbody {
//         public static void main(String[] arguments) throws Exception {
//             Speedwell.bench("nbody", loops -> { ... });
//         }
//     }
//
// `bench` times the work, which does itself `loops` times. One process runs one benchmark. The worker compiles this file
// and the script before anything is timed. By hand, without the variable SPEEDWELL_HARNESS, a script prints what it
// measured: javac -d CLASSES Speedwell.java Nbody.java && java -cp CLASSES Nbody
import java.io.EOFException;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

public final class Speedwell {
    private static final int PROTOCOL = 1;
    private static final int EXIT_WORKER_GONE = 75;

    private Speedwell() {
    }

    /** What is timed. */
    public interface Work {
        void run(long loops) throws Exception;
    }

    /** Hears what happens, and answers what waits. */
    private interface Listener {
        void send(String event, Map<String, Object> fields) throws IOException;

        void ask(String event, Map<String, Object> fields) throws IOException;
    }

    /** Writes events to the worker and waits for its answers. */
    private static final class Worker implements Listener {
        private final OutputStream events;
        private final InputStream control;

        // Java has no descriptors of its own; the kernel lets it open them by path.
        Worker(Map<String, Object> settings) throws IOException {
            events = new FileOutputStream("/proc/self/fd/" + number(settings, "events_fd").intValue());
            control = new FileInputStream("/proc/self/fd/" + number(settings, "control_fd").intValue());
        }

        @Override
        public void send(String event, Map<String, Object> fields) throws IOException {
            Map<String, Object> all = fields("event", event);
            all.putAll(fields);
            StringBuilder line = new StringBuilder();
            write(line, all);
            events.write(line.append('\n').toString().getBytes(StandardCharsets.US_ASCII));
        }

        @Override
        public void ask(String event, Map<String, Object> fields) throws IOException {
            send(event, fields);
            byte[] answer = new byte[3];
            int length = 0;
            // Not `readNBytes`: it seeks, which a pipe cannot.
            for (int count = 0; length < 3 && count >= 0; length += Math.max(count, 0)) {
                count = control.read(answer, length, 3 - length);
            }
            if (!new String(answer, 0, length, StandardCharsets.US_ASCII).equals("ok\n")) {
                // No clean-up: whoever started this process is gone, and so is the reason to go on.
                Runtime.getRuntime().halt(EXIT_WORKER_GONE);
            }
        }
    }

    /** Stands in for the worker when a script is run by hand. */
    private static final class Person implements Listener {
        @Override
        public void send(String event, Map<String, Object> fields) {
            if (event.equals("value")) {
                double seconds = number(fields, "seconds").doubleValue() / number(fields, "loops").doubleValue();
                String kind = Boolean.TRUE.equals(fields.get("warmup")) ? "warm-up" : "value  ";
                System.out.println(kind + " " + fields.get("index") + ": " + seconds + " s");
            }
        }

        @Override
        public void ask(String event, Map<String, Object> fields) {
            send(event, fields);
        }
    }

    /** One benchmark: the settings, the work, and where its values go. */
    private static final class Session {
        private final Listener listener;
        private final Work work;
        private final long loops;
        private final boolean counting;
        private int index;

        Session(Listener listener, Work work, Map<String, Object> settings) {
            this.listener = listener;
            this.work = work;
            loops = number(settings, "loops").longValue();
            counting = "counters".equals(settings.get("mode"));
        }

        void value(boolean warmup) throws Exception {
            if (counting) {
                listener.ask("enable", fields());
            }
            long begun = System.nanoTime();
            work.run(loops);
            double seconds = (System.nanoTime() - begun) * 1e-9;
            if (counting) {
                listener.ask("disable", fields());
            }
            listener.send("value", fields("index", index, "warmup", warmup, "loops", loops, "inner_loops", 1,
                    "seconds", seconds));
            index++;
        }
    }

    /** Measures the work as the worker asks for it. */
    public static void bench(String name, Work work) throws Exception {
        String text = System.getenv("SPEEDWELL_HARNESS");
        Map<String, Object> settings = text == null
                ? fields("mode", "timing", "loops", 1, "warmups", 1, "warmup_seconds", 0, "values", 5, "max_seconds", 60)
                : new Parser(text).object();
        if (text != null && number(settings, "protocol").intValue() != PROTOCOL) {
            throw new IllegalStateException("the worker speaks harness protocol " + settings.get("protocol")
                    + ", this harness " + PROTOCOL);
        }
        Listener listener = text == null ? new Person() : new Worker(settings);
        Session session = new Session(listener, work, settings);
        String machine = System.getProperty("java.vm.version") + " (" + System.getProperty("java.vm.name") + ", "
                + System.getProperty("java.vm.info") + ")";
        listener.ask("start", fields("protocol", PROTOCOL, "pid", ProcessHandle.current().pid(), "clock", "nanoTime",
                "python", fields("implementation", "java", "version", System.getProperty("java.version"),
                        "hexversion", 0, "build", machine)));
        listener.send("benchmark", fields("name", name, "loops", session.loops, "inner_loops", 1, "metadata", fields()));
        double warmups = number(settings, "warmups").doubleValue();
        double values = number(settings, "values").doubleValue();
        double warmupSeconds = number(settings, "warmup_seconds").doubleValue();
        double longest = number(settings, "max_seconds").doubleValue();
        long begun = System.nanoTime();
        for (int warmed = 0; warmed < warmups || since(begun) < warmupSeconds; warmed++) {
            if (warmed > 0 && since(begun) > longest) {
                break;
            }
            session.value(true);
        }
        for (int taken = 0; taken < values; taken++) {
            if (taken > 0 && since(begun) > longest) {
                break;
            }
            session.value(false);
        }
        listener.ask("end", fields("children_max_rss_bytes", null));
    }

    /** Ends with an error when a result is wrong: a fast wrong answer is no measurement. */
    public static void check(long found, long expected) {
        if (found != expected) {
            throw new IllegalStateException("the result is " + found + ", it should be " + expected);
        }
    }

    /** As above, for floating point: equal, not near. */
    public static void check(double found, double expected) {
        if (found != expected) {
            throw new IllegalStateException("the result is " + found + ", it should be " + expected);
        }
    }

    private static double since(long begun) {
        return (System.nanoTime() - begun) * 1e-9;
    }

    /** Names and values in turns, kept in order. */
    private static Map<String, Object> fields(Object... pairs) {
        Map<String, Object> fields = new LinkedHashMap<>();
        for (int index = 0; index < pairs.length; index += 2) {
            fields.put((String) pairs[index], pairs[index + 1]);
        }
        return fields;
    }

    private static Number number(Map<String, Object> fields, String name) {
        if (fields.get(name) instanceof Number) {
            return (Number) fields.get(name);
        }
        throw new IllegalArgumentException("SPEEDWELL_HARNESS: " + name + " is no number but " + fields.get(name));
    }

    // -- JSON: the library has none. Only what the protocol says: objects, texts, numbers, truth values, null ---------

    private static void write(StringBuilder out, Object value) {
        if (value instanceof Map) {
            String separator = "{";
            for (Map.Entry<?, ?> field : ((Map<?, ?>) value).entrySet()) {
                out.append(separator);
                write(out, field.getKey());
                out.append(": ");
                write(out, field.getValue());
                separator = ", ";
            }
            out.append(separator.equals("{") ? "{}" : "}");
        } else if (value instanceof String) {
            writeText(out, (String) value);
        } else {
            // Numbers as Java writes them are JSON, but for those that are none; nobody sends them.
            out.append(value);
        }
    }

    private static void writeText(StringBuilder out, String text) {
        out.append('"');
        for (char unit : text.toCharArray()) {
            if (unit == '"' || unit == '\\') {
                out.append('\\').append(unit);
            } else if (unit < ' ' || unit > '~') {
                out.append(String.format("\\u%04x", (int) unit));
            } else {
                out.append(unit);
            }
        }
        out.append('"');
    }

    /** Reads the worker's settings; anything else is an error that says where. */
    private static final class Parser {
        private final String text;
        private int position;

        Parser(String text) {
            this.text = text;
        }

        Map<String, Object> object() throws IOException {
            Map<String, Object> fields = new LinkedHashMap<>();
            expect('{');
            if (peek() != '}') {
                do {
                    String name = string();
                    expect(':');
                    fields.put(name, value());
                } while (accept(','));
            }
            expect('}');
            if (peek() != 0) {
                throw wrong();
            }
            return fields;
        }

        private Object value() throws IOException {
            char first = peek();
            if (first == '"') {
                return string();
            }
            int begun = position;
            while (position < text.length() && ",} \t\r\n".indexOf(text.charAt(position)) < 0) {
                position++;
            }
            String word = text.substring(begun, position);
            switch (word) {
                case "null":
                    return null;
                case "true":
                    return true;
                case "false":
                    return false;
                default:
                    if (!word.matches("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?")) {
                        throw wrong();
                    }
                    return Double.valueOf(word);
            }
        }

        private String string() throws IOException {
            expect('"');
            StringBuilder found = new StringBuilder();
            for (char unit = next(); unit != '"'; unit = next()) {
                found.append(unit == '\\' ? escaped(next()) : unit);
            }
            return found.toString();
        }

        private char escaped(char unit) throws IOException {
            int known = "\"\\/bfnrt".indexOf(unit);
            if (known >= 0) {
                return "\"\\/\b\f\n\r\t".charAt(known);
            }
            if (unit != 'u' || position + 4 > text.length()
                    || !text.substring(position, position + 4).matches("[0-9a-fA-F]{4}")) {
                throw wrong();
            }
            position += 4;
            return (char) Integer.parseInt(text.substring(position - 4, position), 16);
        }

        private char next() throws IOException {
            if (position >= text.length()) {
                throw new EOFException("SPEEDWELL_HARNESS ends too soon: " + text);
            }
            return text.charAt(position++);
        }

        /** The next character that is no space, or 0 at the end. */
        private char peek() {
            while (position < text.length() && " \t\r\n".indexOf(text.charAt(position)) >= 0) {
                position++;
            }
            return position < text.length() ? text.charAt(position) : 0;
        }

        private boolean accept(char wanted) {
            boolean there = peek() == wanted;
            position += there ? 1 : 0;
            return there;
        }

        private void expect(char wanted) throws IOException {
            if (!accept(wanted)) {
                throw wrong();
            }
        }

        private IOException wrong() {
            return new IOException("SPEEDWELL_HARNESS is not what this harness reads, at character " + position + ": " + text);
        }
    }
}
