// Files between a messaging provider and the gateway, in Java 17 or later with Gson:
//
//   java Adapter twilio-in MEDIA_URL            stores a customer's file
//   java Adapter whatsapp-in MEDIA_ID [NAME]    stores a customer's file
//   java Adapter whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
//   java Adapter twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
//   java Adapter work QUEUE                     stores the files that Webhook wrote down

import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonSyntaxException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;

public class Adapter {
    static final String GATEWAY = System.getenv("GATEWAY_URL");
    static final String KEY = setting("GATEWAY_KEY", "");
    static final String TWILIO = setting("TWILIO_URL", "https://api.twilio.com");
    static final String ACCOUNT = setting("TWILIO_ACCOUNT_SID", "");
    static final String TWILIO_LOGIN = "Basic " + Base64.getEncoder()
            .encodeToString((ACCOUNT + ":" + setting("TWILIO_AUTH_TOKEN", "")).getBytes());
    static final String GRAPH = setting("GRAPH_URL", "https://graph.facebook.com/v24.0");
    static final String GRAPH_TOKEN = "Bearer " + setting("WHATSAPP_TOKEN", "");
    static final String PHONE = setting("WHATSAPP_PHONE_ID", "");

    static final int ATTEMPTS = 5;
    static final long PAUSE = 2, LONGEST_PAUSE = 300; // seconds
    // Until the response begins, so it has to suffice for the upload of the largest file.
    static final Duration TIMEOUT = Duration.ofMinutes(10);

    static final HttpClient CLIENT = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(5))
            // This client would send the login along.
            .followRedirects(HttpClient.Redirect.NEVER)
            .build();

    /** A retry doesn't help. {@code customer} is what to tell the customer, if anything. */
    static class Refused extends Exception {
        final String customer;

        Refused(String message, String customer) {
            super(message);
            this.customer = customer;
        }
    }

    /** A retry may help after {@code wait} seconds. */
    static class Unavailable extends IOException {
        final long wait;

        Unavailable(String message, long wait) {
            super(message);
            this.wait = wait;
        }
    }

    static JsonObject storeFromTwilio(String mediaUrl) throws Exception {
        // Without this check, a forged webhook could send your Twilio login to any host.
        if (!mediaUrl.startsWith(TWILIO + "/")) {
            throw new Refused(mediaUrl + " isn't Twilio's", null);
        }
        // A media URL ends with the media's SID. A message with three files has three of them.
        String key = Path.of(URI.create(mediaUrl).getPath()).getFileName().toString();
        return withRetries(() -> store("sms", key, null, openMedia(mediaUrl, TWILIO_LOGIN)));
    }

    static JsonObject storeFromWhatsApp(String mediaId, String name) throws Exception {
        return withRetries(() -> {
            // The URL is valid for five minutes, so each attempt gets a new one.
            try (InputStream about = openMedia(GRAPH + "/" + encode(mediaId), GRAPH_TOKEN).body()) {
                String url = parse(text(about)).get("url").getAsString();
                return store("whatsapp", mediaId, name, openMedia(url, GRAPH_TOKEN));
            }
        });
    }

    /** A response whose body isn't read yet. Its length is that of the file: nothing is compressed. */
    static HttpResponse<InputStream> openMedia(String url, String login) throws Exception {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).timeout(TIMEOUT);
        if (login != null) {
            request.header("Authorization", login);
        }
        HttpResponse<InputStream> response = CLIENT.send(request.build(), BodyHandlers.ofInputStream());
        int status = response.statusCode();
        if (status == 200) {
            return response;
        }
        String text = text(response.body());
        if (status >= 300 && status < 400) {
            // Twilio redirects to its storage, which must not get the login.
            return openMedia(response.headers().firstValue("Location").orElseThrow(), null);
        }
        String message = "the provider responded " + status + ": " + start(text);
        // 404: the webhook may come before the media is there.
        if (status == 404 || status == 408 || status == 429 || status >= 500) {
            throw new Unavailable(message, pause(response));
        }
        throw new Refused(message, null);
    }

    /** Streams a file from the provider to the gateway. */
    static JsonObject store(String channel, String key, String name, HttpResponse<InputStream> source)
            throws Exception {
        String url = GATEWAY + "/v1/assets?channel=" + channel;
        if (name != null && !name.isEmpty()) {
            url += "&name=" + encode(name);
        }
        try (InputStream file = source.body()) {
            HttpRequest.Builder request = gateway(url)
                    // The same for each attempt, so that a file is stored once.
                    .header("Idempotency-Key", key)
                    .header("Content-Type", source.headers().firstValue("Content-Type")
                            .orElse("application/octet-stream"))
                    .POST(stream(file, source.headers().firstValueAsLong("Content-Length").orElse(-1)));
            return parse(text(check(CLIENT.send(request.build(), BodyHandlers.ofInputStream())).body()));
        }
    }

    /** A body from a stream, chunked where its length isn't known. */
    static BodyPublisher stream(InputStream file, long length) {
        BodyPublisher body = BodyPublishers.ofInputStream(() -> file);
        return length < 0 ? body : BodyPublishers.fromPublisher(body, length);
    }

    /** Sends the bytes to WhatsApp, then a message that names them. */
    static JsonObject sendToWhatsApp(String asset, String to) throws Exception {
        JsonObject media = withRetries(() -> uploadToWhatsApp(asset));
        String type = media.get("contentType").getAsString().split("/")[0];
        JsonObject content = new JsonObject();
        content.add("id", media.get("id"));
        if (!List.of("image", "audio", "video").contains(type)) {
            type = "document";
            content.add("filename", media.get("name"));
        }
        JsonObject message = new JsonObject();
        message.addProperty("messaging_product", "whatsapp");
        message.addProperty("to", to);
        message.addProperty("type", type);
        message.add(type, content);
        // Not repeated: a message whose response was lost may have been sent.
        BodyPublisher body = BodyPublishers.ofString(message.toString());
        return post("WhatsApp", GRAPH + "/" + PHONE + "/messages", GRAPH_TOKEN, "application/json", body);
    }

    static JsonObject uploadToWhatsApp(String asset) throws Exception {
        String url = GATEWAY + "/v1/assets/" + encode(asset);
        HttpRequest metadata = gateway(url).build();
        JsonObject about = parse(text(check(CLIENT.send(metadata, BodyHandlers.ofInputStream())).body()));
        HttpRequest get = gateway(url + "/content").build();
        HttpResponse<InputStream> content = check(CLIENT.send(get, BodyHandlers.ofInputStream()));
        try (InputStream file = content.body()) {
            // A form around a stream, with a known length. The file is its last part.
            String boundary = UUID.randomUUID().toString();
            String part = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"";
            String name = about.get("name").getAsString()
                    .replace("\"", "%22").replace("\r", "%0D").replace("\n", "%0A");
            byte[] before = (part + "messaging_product\"\r\n\r\nwhatsapp\r\n"
                    + part + "file\"; filename=\"" + name + "\"\r\nContent-Type: "
                    + about.get("contentType").getAsString() + "\r\n\r\n").getBytes(StandardCharsets.UTF_8);
            byte[] after = ("\r\n--" + boundary + "--\r\n").getBytes();
            long length = content.headers().firstValueAsLong("Content-Length").orElseThrow();
            InputStream form = new SequenceInputStream(Collections.enumeration(List.of(
                    new ByteArrayInputStream(before), file, new ByteArrayInputStream(after))));
            BodyPublisher body = stream(form, before.length + length + after.length);
            String type = "multipart/form-data; boundary=" + boundary;
            JsonObject media = post("WhatsApp", GRAPH + "/" + PHONE + "/media", GRAPH_TOKEN, type, body);
            about.add("id", media.get("id"));
            return about;
        }
    }

    /** Gives Twilio the signed URL, from which it gets the file. */
    static JsonObject sendToTwilio(String asset, String from, String to) throws Exception {
        String signedUrl = withRetries(() -> {
            HttpRequest get = gateway(GATEWAY + "/v1/assets/" + encode(asset) + "/content?redirect=1").build();
            return check(CLIENT.send(get, BodyHandlers.ofInputStream()))
                    .headers().firstValue("Location").orElseThrow();
        });
        String message = Map.of("From", from, "To", to, "MediaUrl", signedUrl).entrySet().stream()
                .map(field -> field.getKey() + "=" + encode(field.getValue()))
                .collect(Collectors.joining("&"));
        String url = TWILIO + "/2010-04-01/Accounts/" + ACCOUNT + "/Messages.json";
        String type = "application/x-www-form-urlencoded";
        return post("Twilio", url, TWILIO_LOGIN, type, BodyPublishers.ofString(message));
    }

    static JsonObject post(String who, String url, String login, String type, BodyPublisher body)
            throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).timeout(TIMEOUT)
                .header("Authorization", login).header("Content-Type", type).POST(body).build();
        HttpResponse<String> response = CLIENT.send(request, BodyHandlers.ofString());
        if (response.statusCode() < 300) {
            return parse(response.body());
        }
        String message = who + " responded " + response.statusCode() + ": " + start(response.body());
        throw response.statusCode() >= 500 ? new Unavailable(message, PAUSE) : new Refused(message, null);
    }

    /** Stores what webhooks wrote down. A file that can't be stored now stays for the next run. */
    static List<String> work(String queue) throws Exception {
        List<Path> jobs;
        try (Stream<Path> files = Files.list(Path.of(queue))) {
            jobs = files.filter(file -> file.toString().endsWith(".job")).sorted().toList();
        }
        List<String> done = new ArrayList<>();
        for (Path job : jobs) {
            String[] lines = Files.readString(job).split("\n", 3);
            try {
                JsonObject asset = lines[0].equals("twilio")
                        ? storeFromTwilio(lines[1])
                        : storeFromWhatsApp(lines[1], lines[2]);
                done.add(asset.get("id").getAsString());
            } catch (IOException error) {
                System.err.println(job + " stays: " + error.getMessage());
                continue;
            } catch (Refused error) {
                System.err.println(job + " is refused: " + error.getMessage());
                tellCustomer(error);
            }
            Files.delete(job);
        }
        return done;
    }

    static <T> T withRetries(Callable<T> action) throws Exception {
        for (int attempt = 1;; attempt++) {
            try {
                return action.call();
            } catch (IOException error) {
                // Without a response, the file may be stored or not: its key makes a retry safe.
                if (attempt == ATTEMPTS) {
                    throw new IOException("gave up after " + attempt + " attempts: " + error.getMessage(), error);
                }
                long wait = error instanceof Unavailable later ? later.wait : PAUSE;
                System.err.println("attempt " + attempt + ": " + error.getMessage() + "; the next in " + wait + " s");
                Thread.sleep(wait * 1000);
            }
        }
    }

    /** The response, or what its problem document says. */
    static HttpResponse<InputStream> check(HttpResponse<InputStream> response) throws Exception {
        int status = response.statusCode();
        if (status < 400) {
            return response;
        }
        String text = text(response.body());
        JsonObject problem = new JsonObject();
        try {
            problem = parse(text);
        } catch (JsonSyntaxException | IllegalStateException error) {
            // Not the gateway's, but that of a proxy in between.
        }
        if (!problem.has("code")) {
            String message = status + ": " + start(text);
            boolean passes = status == 429 || status >= 500;
            throw passes ? new Unavailable(message, pause(response)) : new Refused(message, null);
        }
        String message = problem.get("code").getAsString() + ": " + problem.get("detail").getAsString()
                + " (request " + problem.get("requestId").getAsString() + ")";
        if (problem.get("retryable").getAsBoolean()) {
            throw new Unavailable(message, pause(response));
        }
        throw new Refused(message, forCustomer(problem));
    }

    static String forCustomer(JsonObject problem) {
        JsonObject limit = problem.has("limit") ? problem.getAsJsonObject("limit") : new JsonObject();
        switch (problem.get("status").getAsInt()) {
            case 413:
                return "This file is too large." + (limit.has("max_size")
                        ? " Please send at most " + limit.get("max_size").getAsLong() / 100_000 / 10.0 + " MB." : "");
            case 415:
                return "This type of file isn't accepted here." + (limit.has("allowed")
                        ? " Please send one of these: " + String.join(", ",
                                new Gson().fromJson(limit.get("allowed"), String[].class)) + "." : "");
            default:
                return null;
        }
    }

    static long pause(HttpResponse<?> response) {
        try {
            return Math.min(response.headers().firstValueAsLong("Retry-After").orElse(PAUSE), LONGEST_PAUSE);
        } catch (NumberFormatException date) {
            return PAUSE;
        }
    }

    static HttpRequest.Builder gateway(String url) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).timeout(TIMEOUT);
        return KEY.isEmpty() ? request : request.header("Authorization", "Bearer " + KEY);
    }

    static JsonObject parse(String text) {
        return JsonParser.parseString(text).getAsJsonObject();
    }

    static String text(InputStream body) throws IOException {
        return new String(body.readNBytes(64 * 1024), StandardCharsets.UTF_8);
    }

    static String start(String text) {
        return text.substring(0, Math.min(text.length(), 300));
    }

    static String encode(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8);
    }

    static String setting(String name, String preset) {
        return System.getenv().getOrDefault(name, preset);
    }

    static void tellCustomer(Refused error) {
        if (error.customer != null) {
            System.out.println("tell the customer: " + error.customer);
        }
    }

    public static void main(String[] given) throws Exception {
        try {
            Object result = switch (given[0]) {
                case "twilio-in" -> storeFromTwilio(given[1]);
                case "whatsapp-in" -> storeFromWhatsApp(given[1], given.length > 2 ? given[2] : null);
                case "whatsapp-out" -> sendToWhatsApp(given[1], given[2]);
                case "twilio-out" -> sendToTwilio(given[1], given[2], given[3]);
                case "work" -> work(given[1]);
                default -> throw new IllegalArgumentException(given[0]);
            };
            System.out.write((new Gson().toJson(result) + "\n").getBytes(StandardCharsets.UTF_8));
            System.out.flush();
        } catch (Refused error) {
            tellCustomer(error);
            System.err.println(given[0] + " failed: " + error.getMessage());
            System.exit(1);
        } catch (IOException error) {
            System.err.println(given[0] + " failed: " + error.getMessage());
            System.exit(1);
        }
    }
}
