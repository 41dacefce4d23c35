// Webhooks of Twilio and WhatsApp, acknowledged at once: java Webhook PORT QUEUE
//
// A webhook only writes down what is to be stored. `Adapter work QUEUE` stores it. Check the
// provider's signature first: see docs/adapters/webhooks.md.

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;

public class Webhook {
    static final int MOST = 1024 * 1024; // bytes of a webhook's body
    static final List<String> KINDS = List.of("image", "audio", "video", "document", "sticker");
    static Path queue;

    interface Notification {
        void writeAll(String body) throws IOException;
    }

    public static void main(String[] given) throws IOException {
        // Without it, a client that sends nothing holds a thread.
        System.setProperty("sun.net.httpserver.maxReqTime", "10");
        queue = Path.of(given[1]);
        InetSocketAddress address = new InetSocketAddress(
                InetAddress.getLoopbackAddress(), Integer.parseInt(given[0]));
        HttpServer server = HttpServer.create(address, 0);
        server.createContext("/twilio", exchange -> acknowledge(exchange, Webhook::fromTwilio));
        server.createContext("/whatsapp", exchange -> acknowledge(exchange, Webhook::fromWhatsApp));
        server.setExecutor(Executors.newFixedThreadPool(32));
        server.start();
    }

    static void acknowledge(HttpExchange exchange, Notification notification) throws IOException {
        int status = 200;
        try {
            byte[] body = exchange.getRequestBody().readNBytes(MOST + 1);
            if (body.length > MOST) {
                status = 413;
            } else {
                notification.writeAll(new String(body, StandardCharsets.UTF_8));
            }
        } catch (IOException | RuntimeException error) {
            // The provider sends it again.
            System.err.println(error);
            status = 500;
        }
        exchange.sendResponseHeaders(status, -1);
        exchange.close();
    }

    static void fromTwilio(String body) throws IOException {
        Map<String, String> form = new HashMap<>();
        for (String field : body.split("&")) {
            String[] pair = field.split("=", 2);
            form.put(decode(pair[0]), pair.length > 1 ? decode(pair[1]) : "");
        }
        int count = Integer.parseInt(form.getOrDefault("NumMedia", "0"));
        for (int nth = 0; nth < count; nth++) {
            String url = form.get("MediaUrl" + nth);
            writeDown(Path.of(URI.create(url).getPath()).getFileName().toString(), "twilio", url, "");
        }
    }

    static void fromWhatsApp(String body) throws IOException {
        for (JsonObject entry : list(JsonParser.parseString(body).getAsJsonObject(), "entry")) {
            for (JsonObject change : list(entry, "changes")) {
                for (JsonObject message : list(change.getAsJsonObject("value"), "messages")) {
                    String type = message.get("type").getAsString();
                    if (KINDS.contains(type)) {
                        JsonObject media = message.getAsJsonObject(type);
                        String id = media.get("id").getAsString();
                        String name = media.has("filename") ? media.get("filename").getAsString() : "";
                        writeDown(id, "whatsapp", id, name);
                    }
                }
            }
        }
    }

    static List<JsonObject> list(JsonObject parent, String name) {
        JsonArray array = parent.has(name) ? parent.getAsJsonArray(name) : new JsonArray();
        return array.asList().stream().map(JsonElement::getAsJsonObject).toList();
    }

    static String decode(String text) {
        return URLDecoder.decode(text, StandardCharsets.UTF_8);
    }

    /** Survives a restart. A notification that comes twice writes the same file. */
    static void writeDown(String id, String... lines) throws IOException {
        for (int at = 0; at < lines.length; at++) {
            lines[at] = lines[at].replace("\n", " ");
        }
        Path unfinished = Files.createTempFile(queue, "job", ".new");
        try (FileChannel file = FileChannel.open(unfinished, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(String.join("\n", lines).getBytes(StandardCharsets.UTF_8)));
            file.force(true);
        }
        Path job = queue.resolve(id.replaceAll("[^A-Za-z0-9_-]", "") + ".job");
        Files.move(unfinished, job, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }
}
