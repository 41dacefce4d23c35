// Java's libraries: see tests/clients/run.
import java.io.File;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Locale;
import java.util.concurrent.Callable;

public class Client {
    static String how, url, raw, name;
    static File file;

    public static void main(String[] given) throws Exception {
        how = given[1];
        url = given[2];
        file = new File(given[3]);
        name = given[4];
        raw = url + "?channel=sms&name=" + URLEncoder.encode(name, StandardCharsets.UTF_8);
        Callable<String> upload = switch (given[0]) {
            case "okhttp" -> okhttp();
            case "httpclient4" -> httpclient4();
            case "httpclient5" -> httpclient5();
            default -> javaNetHttp();
        };
        var out = new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8);
        for (int round = 0; round < Integer.parseInt(given[5]); round++) {
            long began = System.nanoTime();
            String answer = upload.call();
            out.printf(Locale.ROOT, "%.1f %s%n", (System.nanoTime() - began) / 1e6, answer.strip());
        }
        System.exit(0);
    }

    static Callable<String> okhttp() {
        var client = new okhttp3.OkHttpClient();
        var binary = okhttp3.MediaType.parse("application/octet-stream");
        return () -> {
            var bytes = okhttp3.RequestBody.create(binary, file);
            okhttp3.RequestBody body = !how.equals("form") ? bytes : new okhttp3.MultipartBody.Builder()
                .setType(okhttp3.MultipartBody.FORM).addFormDataPart("channel", "sms").addFormDataPart("file", name, bytes).build();
            var request = new okhttp3.Request.Builder().url(how.equals("form") ? url : raw).post(body).build();
            try (var response = client.newCall(request).execute()) {
                return response.body().string();
            }
        };
    }

    static Callable<String> httpclient4() {
        var client = org.apache.http.impl.client.HttpClients.createDefault();
        return () -> {
            var post = new org.apache.http.client.methods.HttpPost(how.equals("form") ? url : raw);
            var binary = org.apache.http.entity.ContentType.APPLICATION_OCTET_STREAM;
            // Its strict mode writes a question mark for each letter that isn't ASCII.
            post.setEntity(!how.equals("form") ? new org.apache.http.entity.FileEntity(file, binary)
                : org.apache.http.entity.mime.MultipartEntityBuilder.create()
                    .setMode(org.apache.http.entity.mime.HttpMultipartMode.RFC6532)
                    .addTextBody("channel", "sms").addBinaryBody("file", file, binary, name).build());
            try (var response = client.execute(post)) {
                return org.apache.http.util.EntityUtils.toString(response.getEntity(), StandardCharsets.UTF_8);
            }
        };
    }

    static Callable<String> httpclient5() {
        var client = org.apache.hc.client5.http.impl.classic.HttpClients.createDefault();
        return () -> {
            var post = new org.apache.hc.client5.http.classic.methods.HttpPost(how.equals("form") ? url : raw);
            var binary = org.apache.hc.core5.http.ContentType.APPLICATION_OCTET_STREAM;
            post.setEntity(!how.equals("form") ? new org.apache.hc.core5.http.io.entity.FileEntity(file, binary)
                : org.apache.hc.client5.http.entity.mime.MultipartEntityBuilder.create()
                    .setMode(org.apache.hc.client5.http.entity.mime.HttpMultipartMode.EXTENDED)
                    .addTextBody("channel", "sms").addBinaryBody("file", file, binary, name).build());
            return client.execute(post, response ->
                org.apache.hc.core5.http.io.entity.EntityUtils.toString(response.getEntity(), StandardCharsets.UTF_8));
        };
    }

    /** A form written by hand, as is common where the JDK has none; nothing follows its last boundary. */
    static Callable<String> javaNetHttp() {
        var client = java.net.http.HttpClient.newBuilder().version(java.net.http.HttpClient.Version.HTTP_1_1).build();
        String boundary = "----handmade";
        String start = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"channel\"\r\n\r\nsms\r\n--" + boundary
            + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + name + "\"\r\n\r\n";
        return () -> {
            byte[] bytes = Files.readAllBytes(file.toPath());
            boolean form = how.equals("form");
            var parts = java.util.List.of(start.getBytes(StandardCharsets.UTF_8), bytes, ("\r\n--" + boundary + "--").getBytes());
            // Of one array, or it would be sent in chunks, without a length.
            var whole = new java.io.ByteArrayOutputStream();
            for (byte[] part : form ? parts : java.util.List.of(bytes)) whole.write(part);
            var request = java.net.http.HttpRequest.newBuilder(URI.create(form ? url : raw))
                .header("Content-Type", form ? "multipart/form-data; boundary=" + boundary : "application/octet-stream")
                .POST(java.net.http.HttpRequest.BodyPublishers.ofByteArray(whole.toByteArray())).build();
            return client.send(request, java.net.http.HttpResponse.BodyHandlers.ofString(StandardCharsets.UTF_8)).body();
        };
    }
}
